"""Where a run is: what a checkpoint holds, and whether what one holds belongs to this run.

Shapes: R replicates, T tasks.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import keystr, tree_flatten_with_path, tree_map

from metacl_run.core.types import Pytree


@dataclass(kw_only=True)
class Position:
    """Where a run is.

    Attributes:
        state: the learner's state, leaves [R, ...].
        matrix: [R, T + 1, T] scores, NaN where not reached; row 0 is before any learning.
        unit: units of work done.
        bytes: length of metrics.jsonl.
        sums, summed: training metrics since the last record, and of how many units.
        evaluations: how many there have been.
        probes, probe_tasks: [P, R, T] scores of every evaluation on what probes look at, NaN where a task was not evaluated,
            and [P] the task being learned at each; empty where there are none within tasks, since `matrix` has the others.
        half_width: [R, T] 95% half-widths of the last evaluation, NaN where a task was not evaluated.
        transductive: of the evaluations with all queries of an episode together, "matrix", "probes" and "half_width" as above;
            empty where there were none.
        train_s, evaluate_s, insight_s: seconds spent.
        features: of the tasks learned, as `protocols/insight.py` keeps them.
        settled: what was decided at the first start and must not change after: sizes of chunks.
        kernels: the compiled kernels that the run was begun with (`kernels.build.name`); "" where that was not noted.
        error: why the run diverged.
        warnings: what the user should know about the numbers.
    """

    state: Pytree
    matrix: Tensor
    unit: int = 0
    bytes: int = 0
    sums: dict[str, Tensor] | None = None
    summed: int = 0
    evaluations: int = 0
    probes: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.float64))
    probe_tasks: list[int] = field(default_factory=list)
    half_width: Tensor | None = None
    transductive: dict[str, Any] = field(default_factory=dict)
    train_s: float = 0.0
    evaluate_s: float = 0.0
    insight_s: float = 0.0
    features: dict[int, list[dict[str, Tensor]]] = field(default_factory=dict)
    settled: dict[str, Any] = field(default_factory=dict)
    kernels: str = ""
    error: str | None = None
    warnings: list[str] = field(default_factory=list)

    def to(self, device: torch.device) -> Position:
        """The same with state and sums on `device`; the matrix stays where it is."""
        moved = {
            name: tree_map(lambda leaf: leaf.to(device), getattr(self, name))
            for name in ("state", "sums")
            if getattr(self, name) is not None
        }
        return Position(**{**vars(self), **moved})

    def check(self, content: Any) -> None:
        """Makes sure that a checkpoint holds a position of the run of which this one is the start.

        Raises:
            ValueError: what does not belong to it.
        """
        if not isinstance(content, dict):
            raise ValueError("it holds no position of a run")
        names = {each.name for each in dataclasses.fields(Position)}
        wrong = sorted(map(str, (names - {"kernels"} - content.keys()) | (content.keys() - names)))
        wrong = wrong or [name for name, kinds in KINDS.items() if name in content and not _is(content[name], kinds)]
        if wrong:
            raise ValueError(f"{wrong[0]} is missing, unknown or no such value as belongs there")
        _check_tensors({"state": self.state, "matrix": self.matrix}, {name: content[name] for name in ("state", "matrix")})
        replicates, shape = len(self.matrix), (len(self.matrix), self.matrix.shape[2])
        if any(tuple(each.shape) != (replicates,) for each in (content["sums"] or {}).values()):
            raise ValueError(f"its sums are not those of {replicates} replicates")
        if content["transductive"].keys() not in (set(), {"matrix", "probes", "half_width"}):
            raise ValueError("its transductive evaluations are not those of a run")
        probes, half = content["probes"], content["half_width"]
        if len(probes) != len(content["probe_tasks"]) or any(
            values.shape[-2:] != shape for values in (probes, half) if values is not None and values.numel()
        ):
            raise ValueError(f"its probes are not those of {shape[0]} replicates and {shape[1]} tasks")


NUMBER, COUNT, NOTHING = (int, float), (int,), (type(None),)
KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("unit", "bytes", "summed", "evaluations"), COUNT),
    **dict.fromkeys(("train_s", "evaluate_s", "insight_s"), NUMBER),
    **dict.fromkeys(("probe_tasks", "warnings"), (list,)),
    **dict.fromkeys(("features", "settled", "transductive"), (dict,)),
    **dict.fromkeys(("matrix", "probes"), (Tensor,)),
    "sums": (dict, *NOTHING),
    "half_width": (Tensor, *NOTHING),
    "kernels": (str,),
    "error": (str, *NOTHING),
}
"""The types of a checkpoint's values, numbers being at least 0."""


def _is(value: Any, kinds: tuple[type, ...]) -> bool:
    if isinstance(value, bool) or not isinstance(value, kinds):
        return False
    return value >= 0 if isinstance(value, NUMBER) else True


def _check_tensors(expected: Pytree, found: Pytree) -> None:
    own, other = ({keystr(path): leaf for path, leaf in tree_flatten_with_path(tree)[0]} for tree in (expected, found))
    if own.keys() != other.keys():
        raise ValueError(f"{min(own.keys() ^ other.keys())} is missing or unknown: it is the state of another learner")
    for path, leaf in own.items():
        there = other[path]
        if isinstance(leaf, Tensor) and not (
            isinstance(there, Tensor) and (leaf.shape, leaf.dtype) == (there.shape, there.dtype)
        ):
            what = f"{there.dtype} {list(there.shape)}" if isinstance(there, Tensor) else type(there).__name__
            raise ValueError(f"{path} is {what}, not {leaf.dtype} {list(leaf.shape)}")

"""The state of a run: everything that changes during the run, and so the content of a checkpoint.

Shapes: R replicates, T tasks, P evaluations.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import keystr, tree_flatten_with_path, tree_map

from metacl_run.core.types import Pytree
from metacl_run.protocols.best_state import BestState
from metacl_run.protocols.score_history import ScoreHistory


@dataclass(kw_only=True)
class TrainState:
    """The state of a run.

    Attributes:
        learner: the learner's state, leaves [R, ...].
        scores: the accuracy matrix and the probes.
        transductive: the same with all queries of an episode together; None where there were no such evaluations.
        unit: units of work done.
        record_bytes: length of metrics.jsonl.
        metric_sums, units_summed: training metrics [R] since the last record, summed, and over how many units.
        evaluations: number of evaluations so far.
        probe_tasks: [P] the task being learned at each probe.
        train_s, evaluate_s, insight_s: seconds spent.
        features: layer outputs for each task right after it was learned, which `insight.py` compares.
        fixed_choices: chosen at the first start; a resumed run reuses them.
        results: the results so far of phases after training, by name; "kept": when the states returned to were best.
        best: the state that did best on validation so far, where it is to be returned to; else None.
        kernels: the compiled kernels that the run was begun with (`kernels.build.name`); "" before the first unit.
        error: why the run diverged.
        warnings: what the user should know about the numbers.
    """

    learner: Pytree
    scores: ScoreHistory
    transductive: ScoreHistory | None = None
    unit: int = 0
    record_bytes: int = 0
    metric_sums: dict[str, Tensor] | None = None
    units_summed: int = 0
    evaluations: int = 0
    probe_tasks: list[int] = field(default_factory=list)
    train_s: float = 0.0
    evaluate_s: float = 0.0
    insight_s: float = 0.0
    features: dict[int, list[dict[str, Tensor]]] = field(default_factory=dict)
    fixed_choices: dict[str, Any] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    best: BestState | None = None
    kernels: str = ""
    error: str | None = None
    warnings: list[str] = field(default_factory=list)

    def to(self, device: torch.device) -> TrainState:
        """The same with learner and metrics on `device`; scores stay on the CPU."""
        moved = {
            name: tree_map(lambda leaf: leaf.to(device), getattr(self, name))
            for name in ("learner", "metric_sums")
            if getattr(self, name) is not None
        }
        best = self.best and dataclasses.replace(self.best, learner=tree_map(lambda leaf: leaf.to(device), self.best.learner))
        return TrainState(**{**vars(self), **moved, "best": best})

    def content(self) -> dict[str, Any]:
        """The state as a checkpoint holds it: nested dicts, lists, tensors and builtins."""
        transductive = None if self.transductive is None else vars(self.transductive)
        best = None if self.best is None else vars(self.best)
        return {**vars(self), "scores": vars(self.scores), "transductive": transductive, "best": best}

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> TrainState:
        """The inverse of `content`."""
        transductive = content["transductive"] and ScoreHistory(**content["transductive"])
        best = content["best"] and BestState(**content["best"])
        scores = ScoreHistory(**content["scores"])
        return cls(**{**content, "scores": scores, "transductive": transductive, "best": best})

    def check(self, content: Any) -> None:
        """Checks that a checkpoint belongs to the run of which this state is the start.

        Raises:
            ValueError: what does not belong to it.
        """
        if not isinstance(content, dict):
            raise ValueError("it holds no state of a run")
        names = {field.name for field in dataclasses.fields(TrainState)}
        wrong = sorted(map(str, names ^ content.keys()))
        wrong = wrong or [name for name, types in TYPES.items() if not _has_type(content[name], types)]
        if wrong:
            raise ValueError(f"{wrong[0]} is missing, unknown or no such value as belongs there")
        check_same_tensors({"learner": self.learner}, {"learner": content["learner"]})
        replicates, _, num_tasks = self.scores.matrix.shape
        if content["best"] is not None:
            numbers = torch.zeros(replicates, dtype=torch.float64), torch.zeros(replicates, dtype=torch.int64)
            best = BestState(learner=self.learner, score=numbers[0], unit=numbers[1])
            check_same_tensors({"best": vars(best)}, {"best": content["best"]})
        if any(tuple(total.shape) != (replicates,) for total in (content["metric_sums"] or {}).values()):
            raise ValueError(f"its metric_sums are not those of {replicates} replicates")
        for name in ("scores", "transductive"):
            if content[name] is not None:
                _check_scores(name, content[name], self.scores.matrix)
        if len(content["scores"]["probes"]) != len(content["probe_tasks"]):
            raise ValueError(f"its probes are not those of {replicates} replicates and {num_tasks} tasks")


NUMBER, COUNT, NOTHING = (int, float), (int,), (type(None),)
TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("unit", "record_bytes", "units_summed", "evaluations"), COUNT),
    **dict.fromkeys(("train_s", "evaluate_s", "insight_s"), NUMBER),
    **dict.fromkeys(("probe_tasks", "warnings"), (list,)),
    **dict.fromkeys(("scores", "features", "fixed_choices", "results"), (dict,)),
    **dict.fromkeys(("transductive", "metric_sums", "best"), (dict, *NOTHING)),
    "kernels": (str,),
    "error": (str, *NOTHING),
}
"""The types of a checkpoint's values; numbers are at least 0."""


def _has_type(value: Any, types: tuple[type, ...]) -> bool:
    if isinstance(value, bool) or not isinstance(value, types):
        return False
    return value >= 0 if isinstance(value, NUMBER) else True


def _check_scores(name: str, content: dict[str, Any], matrix: Tensor) -> None:
    """Raises ValueError for scores that are not those of a run with such a matrix."""
    names = {field.name for field in dataclasses.fields(ScoreHistory)}
    probes, half_width = content.get("probes"), content.get("half_width")
    if content.keys() != names or not isinstance(probes, Tensor) or not isinstance(half_width, (Tensor, *NOTHING)):
        raise ValueError(f"its {name} are not those of a run")
    check_same_tensors({"matrix": matrix}, {"matrix": content["matrix"]})
    replicates, _, num_tasks = matrix.shape
    for values in (probes, half_width):
        if values is not None and values.numel() and values.shape[-2:] != (replicates, num_tasks):
            raise ValueError(f"its {name} are not those of {replicates} replicates and {num_tasks} tasks")


def check_same_tensors(expected: Pytree, stored: Pytree) -> None:
    """Raises ValueError unless both trees have tensors of the same names, shapes and dtypes."""
    own, other = ({keystr(path): leaf for path, leaf in tree_flatten_with_path(tree)[0]} for tree in (expected, stored))
    if own.keys() != other.keys():
        raise ValueError(f"{min(own.keys() ^ other.keys())} is missing or unknown: it is the state of another learner")
    for path, leaf in own.items():
        there = other[path]
        if isinstance(leaf, Tensor) and not (
            isinstance(there, Tensor) and (leaf.shape, leaf.dtype) == (there.shape, there.dtype)
        ):
            what = f"{there.dtype} {list(there.shape)}" if isinstance(there, Tensor) else type(there).__name__
            raise ValueError(f"{path} is {what}, not {leaf.dtype} {list(leaf.shape)}")

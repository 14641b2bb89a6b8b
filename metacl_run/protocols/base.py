"""What a protocol is: the owner of the only training loop, which hands batches to a learner and fills the matrix of scores."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from torch import nn

from metacl_run.core.bounds import MOST_NUMBERS
from metacl_run.core.errors import ConfigError
from metacl_run.core.protocol_kind import ProtocolKind
from metacl_run.models.base import Model
from metacl_run.models.layers import has_batch_norm
from metacl_run.runtime.device import Gpu
from metacl_run.runtime.ranks import Ranks
from metacl_run.scoring.objectives import CLASSIFICATION, Objective
from metacl_run.storage.run_writer import RunWriter

EvalSplit = Literal["test", "validation"]
"""What a run is judged on. Under "validation" no test data are ever looked at: for choosing settings."""
Status = Literal["completed", "interrupted", "diverged", "failed"]
Insight = Literal["none", "light", "full"]
"""How far a run looks inside its learner; see `protocols/insight.py`."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a protocol is given: the built components, where results go, whether to stop, who else computes."""

    algo: Any
    model: Model
    data: Any
    stream: Any
    """What `Protocol.load` gave, on the device of `gpu`."""
    gpu: Gpu
    seeds: Sequence[int]
    insight: Insight
    store: RunWriter
    ranks: Ranks
    stop_requested: Callable[[], bool]
    """Asks all ranks, so every one must call it alike."""
    started: Callable[[list[list[str]], int, int, float | None], None]
    """Called before the first unit, with the task names, the unit the run goes on from, the
    units of a task and the chance level."""


class Evaluations(NamedTuple):
    """What the evaluations of a run gave."""

    matrix: np.ndarray
    """[R, T + 1, T], NaN where not reached; row 0 is before any learning."""
    probes: np.ndarray
    """[P, R, T] of every evaluation in order, for the metrics that look between the rows."""
    half_width: np.ndarray
    """[R, T] 95% half-widths of the last evaluation, over what it was evaluated on."""


@dataclass(kw_only=True)
class Outcome:
    """What a protocol leaves behind.

    Attributes:
        status: how the run ended.
        evaluations: what those of the run gave.
        transductive: the same with all queries of an episode together; None where that is no different.
        probe_tasks: [P] the task being learned at each evaluation (0 before any learning).
        task_names: [R][T].
        train_s, evaluate_s, insight_s: seconds spent, summed over all processes that worked on the run.
        units, units_per_task: units of work done, and how many a task takes.
        error: what went wrong, for a run that diverged.
        warnings: what the user should know about these numbers.
        forecast: what the memory forecast said.
        chance: the accuracy of a guess; None where it is not one number.
        forward_transfer: whether `fwt` says something; see `data.streams.base.SampleData.new_outputs`.
        kernels: the compiled kernels that computed it, "off" for torch operations (`kernels.build.name`).
        sizes: [T] how much each task weighs in a mean over tasks; None: all the same.
        also: further metrics, [R] each by name.
        details: what else the summary is to say.
    """

    status: Status
    evaluations: Evaluations
    probe_tasks: list[int]
    task_names: list[list[str]]
    train_s: float
    evaluate_s: float
    units: int
    units_per_task: int
    transductive: Evaluations | None = None
    insight_s: float = 0.0
    error: str | None = None
    warnings: list[str] = field(default_factory=list)
    forecast: dict[str, float] = field(default_factory=dict)
    chance: float | None = None
    forward_transfer: bool = True
    kernels: str = ""
    sizes: Sequence[float] | None = None
    also: dict[str, np.ndarray] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)


def refuse_batch_norm(module: nn.Module, model: Model, instead: str) -> None:
    """Raises ConfigError for a network that normalises by the statistics of a batch, where samples come one by one."""
    if has_batch_norm(module):
        raise ConfigError(
            f"model: {type(model).__name__} has batch norm, which knows no statistics but those of the batch it sees: one "
            f"sample would be normalised to nothing, and a test batch would give its task away. Use {instead} or another "
            "without."
        )


def refuse_beyond_memory(numbers: int, setting: str, what: str) -> None:
    """Raises ConfigError for settings, `key=value`, that ask for more numbers at once than any machine is likely to hold."""
    if numbers > MOST_NUMBERS:
        raise ConfigError(f"{setting}: {what} would be {numbers:.1e} numbers, and at most {MOST_NUMBERS:.0e} are held at once")


def refuse_more_ranks_than_episodes(ranks: int, episodes: int) -> None:
    """Raises ConfigError where some of the processes that share out a meta-batch would have none of it."""
    if ranks > episodes:
        raise ConfigError(
            f"algo.meta_batch_size={episodes}: is shared out among the {ranks} processes of this run, so it must be at least "
            f"{ranks}. Use a larger one, or start fewer processes."
        )


class Protocol(abc.ABC):
    """A protocol component. `learner` and `data` are the interfaces that fit it; a pair that does not is refused at once."""

    kind: ClassVar[ProtocolKind]
    learner: ClassVar[type]
    data: ClassVar[type]
    unit_name: ClassVar[str]
    eval_split: EvalSplit
    """A setting of every protocol."""
    looks_inside: ClassVar[bool] = True
    """Whether `Run.insight` is heeded."""

    def objective(self, data: Any) -> Objective:
        """What a learner of this data is judged by."""
        return CLASSIFICATION

    @abc.abstractmethod
    def check(self, algo: Any, model: Model, data: Any) -> None:
        """Refuses what does not fit together, before anything is loaded. Raises ConfigError or DataError."""

    @abc.abstractmethod
    def count_units(self, algo: Any, data: Any) -> int:
        """Units of work in a whole run, without those of a meta-test."""

    @abc.abstractmethod
    def load(self, data: Any, seeds: Sequence[int]) -> Any:
        """Reads the data, before there is a run directory: a stream or pool of `data/streams/base.py`. Raises DataError."""

    @abc.abstractmethod
    def check_ranks(self, algo: Any, ranks: int) -> None:
        """Refuses more than one process where they would have nothing to share. Raises ConfigError."""

    @abc.abstractmethod
    def run(self, run: Run) -> Outcome:
        """Runs from the last checkpoint, or from the start, to the end or until asked to stop."""

"""The context of one run: what a protocol works with, and where its results go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from metacl_run.core.task_lengths import TaskLengths
from metacl_run.models.network import Model
from metacl_run.runtime.device import Gpu
from metacl_run.runtime.ranks import Ranks
from metacl_run.storage.run_writer import RunWriter

InsightLevel = Literal["none", "light", "full"]
"""How much a run records about the inside of its learner; see `protocols/insight.py`."""


class Started(Protocol):
    """What is called before the first unit of work."""

    def __call__(
        self,
        task_names: list[list[str]],
        first_unit: int,
        units_per_task: int,
        chance: float | None,
        task_units: TaskLengths | None = None,
        *,
        warnings: Sequence[str],
    ) -> None:
        """Args:
        task_names: [R][T].
        first_unit: units that are done already.
        units_per_task: of the longest task.
        chance: the score of a guess; None where it is not one number.
        task_units: units of each task; None: all have as many.
        warnings: about the data and the computation, as far as they are known before the first unit.
        """


L = TypeVar("L")
D = TypeVar("D")
S = TypeVar("S")
"""A learner, data, and the pool that the data load as."""


@dataclass(frozen=True, kw_only=True)
class RunContext(Generic[L, D, S]):
    """One run: its components, its directory, and the processes that compute it.

    Attributes:
        algo, model, data: the components.
        pool: the loaded data, as `Protocol.load` returns them, on the device of `gpu`.
        gpu: device, engine and precision.
        seeds: [R].
        insight: how much to record about the inside of the learner.
        store: the run's directory.
        ranks: the processes that compute the run.
        stop_requested: returns whether to stop. It is a collective of all ranks, so every rank must call it at the same points.
        started: is called before the first unit.
        checks_code: whether to check the code of the method and the model on a unit before the first one: where some of it is
            the user's own. This package's own code is held to the same rules by its tests.
        run_outputs: in an evaluation, `Protocol.count_outputs_of_run` of the run that has learned.
    """

    algo: L
    model: Model
    data: D
    pool: S
    gpu: Gpu
    seeds: Sequence[int]
    insight: InsightLevel
    store: RunWriter
    ranks: Ranks
    stop_requested: Callable[[], bool]
    started: Started
    checks_code: bool = False
    run_outputs: int | None = None

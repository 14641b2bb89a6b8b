"""The context of one run: what a protocol works with, and where its results go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from metacl_run.models.network import Model
from metacl_run.runtime.device import Gpu
from metacl_run.runtime.ranks import Ranks
from metacl_run.storage.run_writer import RunWriter

InsightLevel = Literal["none", "light", "full"]
"""How much a run records about the inside of its learner; see `protocols/insight.py`."""

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
        started: is called before the first unit with the task names [R][T], the number of units already done, the units of
            a task, and the score of a guess or None.
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
    started: Callable[[list[list[str]], int, int, float | None], None]

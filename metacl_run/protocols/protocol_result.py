"""The result of a run: how it ended, its scores, and what the summary says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from metacl_run.protocols.cost import Cost
from metacl_run.protocols.progress import Progress
from metacl_run.protocols.score_history import Evaluations

Status = Literal["completed", "interrupted", "diverged", "failed"]


@dataclass(kw_only=True)
class ProtocolResult:
    """The result of a run, complete or not.

    Attributes:
        status: how the run ended.
        evaluations: its scores.
        transductive: its scores with all queries of an episode together; None where that makes no difference.
        probe_tasks: [P] the task being learned at each evaluation (0 before any learning).
        task_names: [R][T].
        train_s, evaluate_s, insight_s: seconds spent, summed over the processes of a run that was continued.
        units, units_per_task: units of work done, and units of a task, of the longest where they differ.
        task_units: [T] units of each task where they differ; None: they do not.
        error: why the run diverged.
        warnings: what the user should know about these numbers.
        forecast: the memory forecast.
        chance: the score of a guess; None where it is not one number.
        forward_transfer: whether `fwt` is meaningful; see `data.streams.stream.SampleStream.new_outputs`.
        kernels: the compiled kernels that computed it, "off" for torch operations (`kernels.build.name`).
        sizes: [T] the weight of each task in a mean over tasks; None: equal.
        test_samples: [R, T] the test samples of each task, for the metrics that count every sample once; None: there are none.
        cost: what training cost; None where it was not completed.
        extra_metrics: further metrics, [R] each by name.
        details: further keys of the summary.
    """

    status: Status
    evaluations: Evaluations
    probe_tasks: list[int]
    task_names: list[list[str]]
    train_s: float
    evaluate_s: float
    units: int
    units_per_task: int
    task_units: Sequence[int] | None = None
    transductive: Evaluations | None = None
    insight_s: float = 0.0
    error: str | None = None
    warnings: list[str] = field(default_factory=list)
    forecast: dict[str, float] = field(default_factory=dict)
    chance: float | None = None
    forward_transfer: bool = True
    kernels: str = ""
    sizes: Sequence[float] | None = None
    test_samples: np.ndarray | None = None
    cost: Cost | None = None
    extra_metrics: dict[str, np.ndarray] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)


def result_of(progress: Progress, status: Status, *, task_names: list[list[str]], chance: float | None) -> ProtocolResult:
    """The result that follows from a run's state alone; a protocol replaces what it knows better."""
    state = progress.state
    return ProtocolResult(
        status=status,
        evaluations=state.scores.arrays(),
        transductive=None if state.transductive is None else state.transductive.arrays(),
        probe_tasks=state.probe_tasks,
        task_names=task_names,
        units_per_task=progress.units_per_task,
        task_units=None if progress.units.are_equal else progress.units.lengths,
        chance=chance,
        train_s=state.train_s,
        evaluate_s=state.evaluate_s,
        insight_s=state.insight_s,
        units=state.unit,
        error=state.error,
        warnings=state.warnings,
        kernels=state.kernels,
        forecast=state.fixed_choices.get("forecast", {}),
    )

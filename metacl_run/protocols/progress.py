"""How far a run has come, in units and tasks, and the records of it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from metacl_run.core.task_lengths import TaskLengths
from metacl_run.protocols.run_context import RunContext
from metacl_run.protocols.train_state import TrainState


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A run in progress. Trainer, evaluators and all phases share one.

    Attributes:
        context: of the run.
        state: everything that changes during the run.
        num_tasks, units_per_task: tasks that are learned, and units of each; of the longest where they differ.
        task_units: the units of each task; None: all have as many.
    """

    context: RunContext[Any, Any, Any]
    state: TrainState
    num_tasks: int
    units_per_task: int
    task_units: TaskLengths | None = None

    @functools.cached_property
    def units(self) -> TaskLengths:
        """Units of each task."""
        return self.task_units or TaskLengths.equal(self.num_tasks, self.units_per_task)

    @property
    def training_units(self) -> int:
        """Units of training in the whole run."""
        return self.units.total

    @property
    def task(self) -> int:
        """The task being learned, or just learned, from 0."""
        return self.units.task_at(max(0, min(self.state.unit, self.training_units) - 1))

    @property
    def units_into_task(self) -> int:
        """Units done of the task being learned; 0 when one has just ended."""
        return self.into_task(self.state.unit)

    def into_task(self, unit: int) -> int:
        """Units done of the task being learned, when `unit` of the run are done; 0 when one has just ended."""
        return unit - int(self.units.starts[self.units.task_at(unit)]) if unit < self.training_units else 0

    def record(self, kind: str, **content: Any) -> None:
        """Appends a record of this moment to metrics.jsonl."""
        state = self.state
        seconds = round(state.train_s + state.evaluate_s + state.insight_s, 3)
        self.context.store.record({"kind": kind, "unit": state.unit, "task": self.task, "wall_s": seconds, **content})

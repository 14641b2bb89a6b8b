"""How far a run has come, in units and tasks, and the records of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from metacl_run.protocols.run_context import RunContext
from metacl_run.protocols.train_state import TrainState


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A run in progress. Trainer, evaluators and all phases share one.

    Attributes:
        context: of the run.
        state: everything that changes during the run.
        num_tasks, units_per_task: tasks that are learned, and units of each.
    """

    context: RunContext[Any, Any, Any]
    state: TrainState
    num_tasks: int
    units_per_task: int

    @property
    def training_units(self) -> int:
        """Units of training in the whole run."""
        return self.num_tasks * self.units_per_task

    @property
    def task(self) -> int:
        """The task being learned, or just learned, from 0."""
        return max(0, min(self.state.unit, self.training_units) - 1) // max(1, self.units_per_task)

    @property
    def units_into_task(self) -> int:
        """Units done of the task being learned; 0 when one has just ended."""
        return self.state.unit % self.units_per_task

    def record(self, kind: str, **content: Any) -> None:
        """Appends a record of this moment to metrics.jsonl."""
        state = self.state
        seconds = round(state.train_s + state.evaluate_s + state.insight_s, 3)
        self.context.store.record({"kind": kind, "unit": state.unit, "task": self.task, "wall_s": seconds, **content})

"""How far a run has come, in units and tasks, and the records of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from metacl_run.protocols.train_state import TrainState
from metacl_run.storage.silent_store import SilentStore
from metacl_run.storage.store import RunStore


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The state of a run beside the tasks that its units make up. Trainer, evaluators and later phases share one.

    Attributes:
        state: everything that changes while the run goes on.
        store: the run's directory.
        num_tasks, units_per_task: tasks that are learned, and units of each.
    """

    state: TrainState
    store: RunStore | SilentStore
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
        self.store.record({"kind": kind, "unit": state.unit, "task": self.task, "wall_s": seconds, **content})

"""Keeps the learner after every task (`protocol.keep_states=tasks`), for those who study what happens between tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from torch.utils._pytree import tree_leaves, tree_map

from metacl_run.protocols.progress import Progress
from metacl_run.protocols.recorder import Recorder

KeepStates: TypeAlias = Literal["last", "tasks"]
"""Which learners a run keeps: the one at its end, or also those after every task."""


@dataclass(frozen=True)
class TaskStateRecorder(Recorder):
    """Writes the learner of the rows of the accuracy matrix, as it was evaluated.

    Attributes:
        progress: of the run.
    """

    progress: Progress

    def announce(self) -> None:
        """Says how much room the files take."""
        progress, state = self.progress, self.progress.state
        size = sum(leaf.numel() * leaf.element_size() for leaf in tree_leaves(state.learner))
        tasks_done = int((progress.units.ends <= state.unit).sum())
        progress.context.store.announce_task_states(size, progress.num_tasks, tasks_done)

    def record(self, row: int | None) -> None:
        if not row:  # a probe within a task, or the row before any learning
            return
        learner = tree_map(lambda leaf: leaf.detach().cpu(), self.progress.state.learner)
        self.progress.context.store.write_task_state(row - 1, learner)


def task_state_recorders(keep_states: KeepStates, progress: Progress) -> Sequence[TaskStateRecorder]:
    """The recorder of learners after every task, where they are to be kept; it has said how much room they take."""
    if keep_states == "last":
        return []
    recorder = TaskStateRecorder(progress)
    recorder.announce()
    return [recorder]

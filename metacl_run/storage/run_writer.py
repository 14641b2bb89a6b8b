"""The interface through which a training loop writes its run directory, and the implementation that writes nothing."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import numpy as np

from metacl_run.core.types import Pytree


class RunWriter(abc.ABC):
    """Takes the records, matrices and checkpoints of a run; rank 0 has a `RunStore`, every other rank a `SilentWriter`."""

    @property
    @abc.abstractmethod
    def position(self) -> int:
        """Bytes of metrics.jsonl so far."""

    @abc.abstractmethod
    def write_matrix(self, matrix: np.ndarray, *, transductive: bool = False) -> None:
        """Writes the accuracy matrix [R, T + 1, T], or the one with all queries of an episode together."""

    @abc.abstractmethod
    def write_matrix_row(self, row: int, scores: np.ndarray, *, transductive: bool = False) -> None:
        """Replaces one row of the matrix that `write_matrix` wrote by [R, T]; the file can be read at any moment."""

    @abc.abstractmethod
    def write_predictions(self, predictions: dict[str, Any]) -> None:
        """Writes the file of confused classes and forgotten samples."""

    @abc.abstractmethod
    def write_rollouts(self, rollouts: dict[str, Any]) -> None:
        """Writes the file of paths."""

    @abc.abstractmethod
    def write_stream(self, arrays: dict[str, np.ndarray]) -> None:
        """Writes the file of a stream's steps."""

    @abc.abstractmethod
    def open_records(self, position: int) -> None:
        """Opens metrics.jsonl for appending after its first `position` bytes; what follows them is dropped."""

    @abc.abstractmethod
    def record(self, record: dict[str, Any]) -> None:
        """Appends one record, then passes it to the listeners."""

    @abc.abstractmethod
    def check_records(self, last_unit: int) -> None:
        """Raises a StorageError unless the records end at the unit of work where the checkpoint was taken."""

    @abc.abstractmethod
    def save_checkpoint(self, content: dict[str, Any]) -> None:
        """Replaces the checkpoint and keeps the one before. `content`: nested dicts, lists, tensors and builtins."""

    @abc.abstractmethod
    def load_checkpoint(self, check: Callable[[Any], None]) -> tuple[dict[str, Any] | None, list[str]]:
        """Returns the newest whole checkpoint, or None, and a warning for every one that is not whole.

        Args:
            check: raises ValueError, with the reason, for content that does not belong to this run.
        """

    @abc.abstractmethod
    def announce_task_states(self, size: int, num_tasks: int, tasks_done: int) -> None:
        """Says how much room the learners after every task take: `size` bytes each."""

    @abc.abstractmethod
    def write_task_state(self, task: int, learner: Pytree) -> None:
        """Writes the learner's state after a task, leaves [R, ...] on the CPU, in place of one of an earlier process."""


class SilentWriter(RunWriter):
    """Writes nothing. A rank that has it receives the checkpoint from rank 0."""

    @property
    def position(self) -> int:
        return 0

    def write_matrix(self, matrix: np.ndarray, *, transductive: bool = False) -> None:
        pass

    def write_matrix_row(self, row: int, scores: np.ndarray, *, transductive: bool = False) -> None:
        pass

    def write_predictions(self, predictions: dict[str, Any]) -> None:
        pass

    def write_rollouts(self, rollouts: dict[str, Any]) -> None:
        pass

    def write_stream(self, arrays: dict[str, np.ndarray]) -> None:
        pass

    def open_records(self, position: int) -> None:
        pass

    def record(self, record: dict[str, Any]) -> None:
        pass

    def check_records(self, last_unit: int) -> None:
        pass

    def save_checkpoint(self, content: dict[str, Any]) -> None:
        pass

    def load_checkpoint(self, check: Callable[[Any], None]) -> tuple[dict[str, Any] | None, list[str]]:
        return None, []

    def announce_task_states(self, size: int, num_tasks: int, tasks_done: int) -> None:
        pass

    def write_task_state(self, task: int, learner: Pytree) -> None:
        pass

"""The interface of a shift: a transformation that differs from task to task, so that the tasks of a stream differ.

Shapes: B examples, R seeds, T tasks. Tables have a row for each seed and task: row r * T + t.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class TaskShift(abc.ABC):
    """The shifts of all tasks of all seeds."""

    changes: bool = True
    """Whether it changes anything."""
    is_gather: bool = False
    """Whether it only reorders numbers: cheap enough to be applied whenever examples are gathered."""
    rewrites: bool = False
    """Whether it makes the examples of a task anew from the texts or images that they were encoded from, instead of changing
    numbers."""
    same_for_seeds: bool = False
    """Whether a task has the same shift for every seed."""
    task_names: Sequence[str] = ()
    """[T] names of the tasks after their shifts; empty where there is no shift."""

    def row(self, replicate: int, task: int, num_tasks: int) -> int:
        """The row of the tables for a task of a seed; that of the first seed where all have the same."""
        return task if self.same_for_seeds else replicate * num_tasks + task

    @abc.abstractmethod
    def to(self, device: torch.device) -> TaskShift:
        """The same shift with its tables on `device`."""

    @abc.abstractmethod
    def apply(self, x: Tensor, rows: Tensor) -> Tensor:
        """Shifts examples [B, ...], float in [0, 1] or as the source has them, each by its row [B] of the tables."""

    def rewritten(self, raw: Any, row: int) -> Tensor:
        """[B, ...] the examples that texts or images [B] become under a row of the tables, where `rewrites`."""
        raise NotImplementedError(f"{type(self).__name__} does not make examples anew")

    def written(self, text: str, task: int) -> str:
        """The text as a task has it. Default: as it is."""
        return text


class NoShift(TaskShift):
    """Leaves every example as it is."""

    changes = False

    def to(self, device: torch.device) -> NoShift:
        return self

    def apply(self, x: Tensor, rows: Tensor) -> Tensor:
        return x


NO_SHIFT = NoShift()

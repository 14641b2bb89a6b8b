"""The lengths of tasks that come one after another, in samples or in observations: where each begins and ends."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TaskLengths:
    """T tasks, one after another.

    Attributes:
        lengths: [T].
    """

    lengths: tuple[int, ...]

    @classmethod
    def of(cls, lengths: Sequence[int] | np.ndarray) -> TaskLengths:
        return cls(tuple(int(length) for length in lengths))

    @classmethod
    def equal(cls, tasks: int, length: int) -> TaskLengths:
        """Tasks of one length."""
        return cls((length,) * tasks)

    @functools.cached_property
    def ends(self) -> np.ndarray:
        """[T] where each ends."""
        return np.cumsum(self.lengths)

    @functools.cached_property
    def starts(self) -> np.ndarray:
        """[T] where each begins."""
        return self.ends - self.lengths

    @property
    def total(self) -> int:
        return sum(self.lengths)

    @property
    def shortest(self) -> int:
        return min(self.lengths)

    @property
    def longest(self) -> int:
        return max(self.lengths)

    @property
    def are_equal(self) -> bool:
        return self.shortest == self.longest

    def tasks_at(self, places: np.ndarray) -> np.ndarray:
        """[...] the task of each place; the last task at and after the end of all."""
        return np.asarray(np.minimum(np.searchsorted(self.ends, places, side="right"), len(self.lengths) - 1))

    def task_at(self, place: int) -> int:
        """The task of one place."""
        return int(self.tasks_at(np.asarray(place)))

    def within(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[...] the task of each place, and how far it is into that task."""
        tasks = self.tasks_at(places)
        return tasks, np.asarray(places - self.starts[tasks])

    def times(self, factor: int) -> TaskLengths:
        """Each task so many times as long."""
        return TaskLengths.of([length * factor for length in self.lengths])

    def at_most(self, length: int) -> TaskLengths:
        """Each task cut off at a length."""
        return TaskLengths.of([min(own, length) for own in self.lengths])

"""Which tasks are evaluated when: evaluating every task after every task costs T * T evaluations, too many in a long stream.

Shapes: T tasks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Future = Literal["all", "next", "none"]
"""Which of the tasks to come are evaluated: "all"; the "next" one, which forward transfer needs; "none"."""


@dataclass(frozen=True, kw_only=True)
class EvaluationRows:
    """The plan of a run's evaluations.

    Every task is evaluated right after it was learned and at the end of the run, and all are before any learning.

    Attributes:
        every: all tasks learned so far are evaluated after every so many tasks, and after the last; 0: after 1, 2, 5, 10, 20,
            50, 100 ... tasks.
        future: which of the tasks to come are evaluated as well.
    """

    every: int = 1
    future: Future = "all"

    def is_whole(self, learned: int, num_tasks: int) -> bool:
        """Whether all tasks learned so far are evaluated after so many."""
        if learned in (0, num_tasks):
            return True
        if self.every:
            return learned % self.every == 0
        return learned == 10 ** (len(str(learned)) - 1) * int(str(learned)[0]) and str(learned)[0] in "125"

    def at_end(self, learned: int, num_tasks: int) -> range:
        """The tasks, from 0, that are evaluated when so many have been learned."""
        if learned == 0:
            return range(num_tasks)
        if self.is_whole(learned, num_tasks):
            return self.within(learned - 1, num_tasks)
        return range(learned - 1, min(learned + (self.future != "none"), num_tasks))

    def within(self, task: int, num_tasks: int) -> range:
        """The tasks that a probe evaluates while `task`, from 0, is learned."""
        further = {"all": num_tasks, "next": 1, "none": 0}[self.future]
        return range(min(task + 1 + further, num_tasks))

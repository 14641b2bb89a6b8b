"""The interface of a trainer: one unit of learning, as a function of the learner's state."""

from __future__ import annotations

import abc

from metacl_run.core.types import Pytree
from metacl_run.inner.several_updates import Metrics, add_up


class Trainer(abc.ABC):
    """Learns one unit after another. What a unit learns from depends on its number and the seeds alone, so that a run
    continues from the learner's state and the number of units done.

    Shapes: R replicates; the leaves of a learner's state are [R, ...].
    """

    at_once: int = 1
    """The most units that are one piece of work: a run stops, records and evaluates between two pieces."""

    @abc.abstractmethod
    def step(self, learner: Pytree, unit: int) -> tuple[Pytree, Metrics]:
        """Does one unit; returns the new state and training metrics, [R] each, "loss" among them."""

    def steps(self, learner: Pytree, sums: Metrics | None, units: range) -> tuple[Pytree, Metrics | None]:
        """Does some units of one task, at most `at_once`; returns the new state, and `sums` with their metrics added."""
        for unit in units:
            learner, metrics = self.step(learner, unit)
            sums = add_up(sums, metrics)
        return learner, sums

    def check(self, learner: Pytree, unit: int) -> None:  # noqa: B027
        """Checks the method's code on a unit, see `protocols.unit_check.check_unit`. Default: nothing.

        Raises:
            ConfigError: the code does not do what a run needs of it.
        """

    @abc.abstractmethod
    def count_examples(self, units: range) -> int:
        """Examples that some units read, of one replicate."""

    def count_examples_at_end(self) -> int:
        """Examples that `end_task` reads, of one replicate. Default: none."""
        return 0

    def alike(self, units: int) -> list[range]:
        """All units in order, those that do the same kind of work together. Default: all do."""
        return [range(units)]

    def trial(self, learner: Pytree, unit: int) -> None:
        """Does a unit and keeps nothing of it. Default: a step, for trainers that keep nothing else."""
        self.step(learner, unit)

    def end_task(self, learner: Pytree, task: int) -> Pytree:
        """The state after the last unit of a task, before it is evaluated. Default: unchanged."""
        return learner

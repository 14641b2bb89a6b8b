"""The interface of a trainer: one unit of learning, as a function of the learner's state."""

from __future__ import annotations

import abc
from typing import ClassVar

from torch import Tensor

from metacl_run.core.types import Pytree


class Trainer(abc.ABC):
    """Learns one unit after another. What a unit learns from depends on its number and the seeds alone, so that a run
    continues from the learner's state and the number of units done.

    Shapes: R replicates; the leaves of a learner's state are [R, ...].
    """

    remedy: ClassVar[str]
    """What usually helps where the learner diverges, as the subject of a sentence."""

    @abc.abstractmethod
    def step(self, learner: Pytree, unit: int) -> tuple[Pytree, dict[str, Tensor]]:
        """Does one unit; returns the new state and training metrics, [R] each, "loss" among them."""

    def end_task(self, learner: Pytree, task: int) -> Pytree:
        """The state after the last unit of a task, before it is evaluated. Default: unchanged."""
        return learner

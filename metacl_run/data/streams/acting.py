"""Scoring a learner of a stream by letting it act: a policy is rolled out in a simulator, and reaches its goal or does not.

Shapes: R seeds (replicates), K tasks, E placements of a task, B observations of D numbers at once, A numbers of an action.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

from metacl_run.scoring.scores import SUCCESS, Score

Policy: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""(observations [R, B, D], tasks [B] int64 from 0) -> actions [R, B, A]; in any floating-point type, on any device."""


NEVER = -1


@dataclass(frozen=True, kw_only=True)
class Paths:
    """Where things went in some episodes of one task, seen from above.

    Attributes:
        things: [N] the name of each thing, as a reader sees it; the first one is what acts.
        points: [E, steps, N, 2] float, the places of the things at the start and after every step.
        reached_at: [E] int64, the step after which the goal was reached for the first time; `NEVER` where it was not.
    """

    things: Sequence[str]
    points: Tensor
    reached_at: Tensor

    @property
    def successes(self) -> Tensor:
        """[E] bool, whether the goal was reached."""
        return self.reached_at != NEVER


def first_step(reaches: Tensor) -> Tensor:
    """Returns the first step of [E, steps] at which the goal is reached, `NEVER` where it is not, [E] int64."""
    return torch.where(reaches.any(1), reaches.long().argmax(1), NEVER)


class Acting(abc.ABC):
    """The placements that the learners of a stream are scored on, and the simulator that they act in.

    A task's placements are the same at every call, so that scores at different moments compare. Those of a seed depend on the
    seed and the task alone.
    """

    score: ClassVar[Score] = SUCCESS
    """Its name is that of the run's metrics."""
    episodes: int
    """E, of every task."""

    @abc.abstractmethod
    def to(self, device: torch.device) -> Acting:
        """The same with its tensors on `device`."""

    @abc.abstractmethod
    def validation(self) -> Acting:
        """The same with other placements, as many, for protocol.eval_split=validation."""

    @abc.abstractmethod
    def successes(self, tasks: range, policy: Policy, *, limit: int | None) -> Tensor:
        """Acts from placements of some tasks.

        Args:
            tasks: K of them, from 0.
            policy: of all replicates. An action that is not finite is a failure, never an error.
            limit: at most so many placements of every task, the first ones; None: all.

        Returns:
            [R, K, E] 0 or 1, float.
        """

    @abc.abstractmethod
    def paths(self, task: int, policy: Policy, count: int) -> Paths:
        """Acts from the first `count` placements of a task, or all where there are fewer, as the first seed has them.

        Args:
            task: from 0.
            policy: of the first seed alone, R = 1.
            count: of episodes.
        """


@dataclass(frozen=True, kw_only=True)
class ActingInView(Acting):
    """Acting of policies that see something else than the simulator shows: told of the task, or without the goal.

    Attributes:
        inner: where they act.
        view: (observations [R, B, D], tasks [B]) -> what a policy sees, [R, B, ...].
    """

    inner: Acting
    view: Callable[[Tensor, Tensor], Tensor]

    @property
    def episodes(self) -> int:  # type: ignore[override]
        return self.inner.episodes

    def to(self, device: torch.device) -> ActingInView:
        return replace(self, inner=self.inner.to(device))

    def validation(self) -> ActingInView:
        return replace(self, inner=self.inner.validation())

    def successes(self, tasks: range, policy: Policy, *, limit: int | None) -> Tensor:
        return self.inner.successes(tasks, self._in_view(policy), limit=limit)

    def paths(self, task: int, policy: Policy, count: int) -> Paths:
        return self.inner.paths(task, self._in_view(policy), count)

    def _in_view(self, policy: Policy) -> Policy:
        return lambda observations, tasks: policy(self.view(observations, tasks), tasks)

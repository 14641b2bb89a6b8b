"""Policies learned by gradient through a simulator: the stream of `ReachTasks` for protocol `continual_meta`.

The network is a policy. An input, as the protocol calls it, is the description of a rollout (start, dynamics, noise); an output
is the path that the policy takes; a target is the goal; and the loss is minus the return. So every method that adapts by
gradient can learn policies: one step is a step of policy search by the exact gradient.

An episode has a goal that the policy does not see. It adapts to `shots` rollouts towards the goal, of which it only learns how
the return changes with its parameters; it is scored on `queries` other rollouts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from metacl_run.core.bounds import AT_EVALUATION, Examples
from metacl_run.core.transfer import upload
from metacl_run.core.types import Episode
from metacl_run.data.sources.reach_tasks import ReachTasks
from metacl_run.data.streams.sampling import apart, inner_batches
from metacl_run.data.streams.stream import EpisodePool, EpisodeStream, Rollout, Split
from metacl_run.scoring.objectives import Objective, Regression
from metacl_run.scoring.scores import SUCCESS
from metacl_run.simulators.planar_reach import OBSERVATION, PUSHES, rollout
from metacl_run.simulators.planar_skills import REACHED


class Reaching(Regression):
    """Outputs [..., N, steps * 2], the places of paths; targets [..., N, 2], goals.

    The loss is minus the return: the squared error of every place, in mean over steps and over the two dimensions. (The
    gradient of a distance that is not squared would give the direction of the goal, but not how far it is.) A rollout succeeds
    if it ends within `REACHED` of the goal.
    """

    def losses(self, outputs: Tensor, y: Tensor) -> Tensor:
        return super().losses(outputs, at_every_step(y, outputs))

    def slope(self, outputs: Tensor, y: Tensor) -> Tensor:
        return super().slope(outputs, at_every_step(y, outputs))

    def scores(self, outputs: Tensor, y: Tensor) -> Tensor:
        return ((outputs[..., -2:] - y).square().sum(-1) < REACHED**2).to(outputs.dtype)


def at_every_step(goals: Tensor, paths: Tensor) -> Tensor:
    """Returns goals [..., 2] repeated to the shape of paths [..., steps * 2]."""
    return goals.repeat(*[1] * (goals.dim() - 1), paths.shape[-1] // 2)


REACHING: Objective = Reaching(**vars(SUCCESS))


@dataclass(frozen=True, kw_only=True)
class ReachEpisodes(EpisodeStream):
    """A task is one kind of dynamics; every episode has a new goal."""

    ways = 1
    reports_before = True

    source: ReachTasks
    shots: Annotated[Examples, AT_EVALUATION]
    """Rollouts to adapt to."""
    queries: Annotated[Examples, AT_EVALUATION]
    """Rollouts on which the adapted policy is scored."""

    @property
    def outputs(self) -> int:
        return PUSHES

    @property
    def network_shape(self) -> tuple[int, ...]:
        return (OBSERVATION,)

    @property
    def rollout(self) -> Rollout:
        return rollout

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.source.example_shape

    @property
    def objective(self) -> Objective:
        return REACHING

    def count_tasks(self) -> int:
        return len(self.source.dynamics)

    def check(self, *, examples_per_class: int, replay_classes: int | None, split: Split) -> None:
        """There are as many rollouts and goals as are needed."""

    def load(self, seeds: Sequence[int]) -> ReachEpisodePool:
        names = [list(self.source.dynamics)] * len(seeds)
        return ReachEpisodePool(task_names=names, source=self.source, device=torch.device("cpu"))


@dataclass(frozen=True, kw_only=True)
class ReachEpisodePool(EpisodePool):
    """Draws goals and rollouts. Shapes: R seeds (replicates), E episodes, K rollouts."""

    task_names: list[list[str]]
    source: ReachTasks
    device: torch.device

    def to(self, device: torch.device) -> ReachEpisodePool:
        return dataclasses.replace(self, device=device)

    def sample(
        self,
        tasks: np.ndarray,
        split: Split,
        *,
        shots: int,
        queries: int,
        rngs: Sequence[np.random.Generator],
        classes: np.ndarray | None = None,
        batches: tuple[int, int] | None = None,
    ) -> Episode:
        rngs = apart(rngs) if split == "validation" else rngs  # else it would be the same draws as test
        by_replicate = [self.source.draw(own, shots + queries, rng) for own, rng in zip(tasks, rngs, strict=True)]
        inner = inner_batches(rngs, tasks.shape[1], batches, support=shots)
        rollouts, goals = (np.stack(part) for part in zip(*by_replicate, strict=True))
        x, y, index = upload([rollouts, goals, inner], self.device)
        return Episode.divided(x, y, shots, index)

"""Skills one after another, learned from demonstrations and scored by acting: protocol `online`.

A sample is an observation and the expert's action; the loss is the mean squared error of the action. The score is the share of
test placements from which the learner reaches the goal of the skill in the simulator, so that accuracy matrix and forgetting
have their usual meaning.

With scenario=task, the observation ends with the place of the skill as a one-hot vector, as in Continual World (Wolczyk et al.
2021, arXiv 2105.10919). With scenario=domain it does not: if the same observation needs different actions in two skills, no
learner can do both. Shapes: R seeds, T skills, N pairs of a skill.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from metacl_run.core.bounds import Examples
from metacl_run.core.randomness import Purpose, generator
from metacl_run.core.transfer import upload
from metacl_run.core.types import Samples
from metacl_run.data.sources.skill_source import Demonstrations, SkillSource
from metacl_run.data.streams.acting import Acting, ActingInView
from metacl_run.data.streams.stream import SamplePool, SampleStream
from metacl_run.scoring.objectives import REGRESSION, Objective
from metacl_run.scoring.scores import SUCCESS, Score


@dataclass(frozen=True, kw_only=True)
class SkillSamples(SampleStream):
    """One task for each skill of the source, in the order of the source."""

    source: SkillSource
    scenario: Literal["task", "domain"]
    """task: an observation ends with a one-hot vector of the task; domain: the learner does not know the task."""
    test_episodes: Examples
    """Placements of each skill on which the learner is scored."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        (size,) = self.source.example_shape
        return (size + (self.count_tasks() if self.scenario == "task" else 0),)

    @property
    def objective(self) -> Objective:
        return REGRESSION

    @property
    def score(self) -> Score:
        return SUCCESS

    @property
    def task_is_known(self) -> bool:
        return self.scenario == "task"

    def count_tasks(self) -> int:
        return len(self.source.skills)

    def count_outputs(self) -> int:
        return self.source.num_actions

    def count_samples(self) -> int:
        return self.source.count_pairs()

    def check(self) -> None:
        self.source.check()

    def load(self, seeds: Sequence[int]) -> SkillSamplePool:
        learned, held_out = self.source.demonstrate(seeds)
        acting, names_task = self.source.acting(seeds, self.test_episodes), self.scenario == "task"
        return SkillSamplePool(
            task_names=[list(self.source.skills) for _ in seeds],
            names_task=names_task,
            train=_mixed(learned, seeds),
            held_out=held_out,
            acting=ActingInView(inner=acting, view=partial(with_task, num_tasks=self.count_tasks())) if names_task else acting,
        )


@dataclass(frozen=True, kw_only=True)
class SkillSamplePool(SamplePool):
    """Gathers pairs by index from the demonstrations of each seed."""

    task_names: list[list[str]]
    names_task: bool
    """Whether an observation ends with the task."""
    train: Demonstrations
    """In random order within a task."""
    held_out: Demonstrations
    acting: Acting
    masks: None = None

    @property
    def samples_per_task(self) -> int:  # type: ignore[override]
        return self.train.observations.shape[2]

    def to(self, device: torch.device) -> SkillSamplePool:
        moved = [_moved(demonstrations, device) for demonstrations in (self.train, self.held_out)]
        return dataclasses.replace(self, train=moved[0], held_out=moved[1], acting=self.acting.to(device))

    def gather(self, replicate: int, index: np.ndarray) -> Samples:
        rows, task = upload([index.reshape(-1), index // self.samples_per_task], self.train.observations.device)
        x, y = (
            leaf[replicate].flatten(0, 1).index_select(0, rows).view(*index.shape, leaf.shape[-1])
            for leaf in (self.train.observations, self.train.actions)
        )
        return Samples(self._inputs(x, task), y, task)

    def test(self, task: int, limit: int | None) -> list[Samples]:
        pairs = zip(self.held_out.observations[:, task, :limit], self.held_out.actions[:, task, :limit], strict=True)
        tasks = torch.full(self.held_out.observations[0, task, :limit, 0].shape, task, device=self.held_out.actions.device)
        return [Samples(self._inputs(x, tasks), y, tasks) for x, y in pairs]

    def _inputs(self, observations: Tensor, task: Tensor) -> Tensor:
        return with_task(observations, task, len(self.task_names[0])) if self.names_task else observations


def with_task(observations: Tensor, task: Tensor, num_tasks: int) -> Tensor:
    """[..., D] with tasks [...], or fewer leading axes of them -> [..., D + T]."""
    place = one_hot(task, num_tasks).to(observations).expand(*observations.shape[:-1], num_tasks)
    return torch.cat([observations, place], -1)


def _mixed(demonstrations: Demonstrations, seeds: Sequence[int]) -> Demonstrations:
    """The same pairs in an order that is random within each task."""
    num_tasks, pairs = demonstrations.observations.shape[1:3]
    orders = [[generator(Purpose.SAMPLES, seed, task).permutation(pairs) for task in range(num_tasks)] for seed in seeds]
    order = torch.from_numpy(np.array(orders)).unsqueeze(-1)
    return Demonstrations(
        observations=demonstrations.observations.take_along_dim(order, 2),
        actions=demonstrations.actions.take_along_dim(order, 2),
    )


def _moved(demonstrations: Demonstrations, device: torch.device) -> Demonstrations:
    observations, actions = demonstrations.observations.to(device), demonstrations.actions.to(device)
    return Demonstrations(observations=observations, actions=actions)

"""Skills that a policy adapts to from one demonstration: protocol `continual_meta`.

A task is a skill; an episode is one placement of its objects. The goal is hidden: its numbers in an observation are 0, and a
policy must infer it from the actions of an expert (as in the one-shot imitation of Finn et al. 2017, arXiv 1709.04905, from
videos). Every other pair of observation and action of a demonstration is for adapting, the pairs between them are for the
score, which is the mean squared error of actions. At the end of a run, the learner also acts from the placements on which it is
evaluated, before and after adapting to their demonstrations.

If a skill hides nothing, as when a door is visible, there is nothing to adapt to. Shapes: R seeds, T skills, P placements of a
skill, S pairs of a demonstration.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Le
from torch import Tensor

from metacl_run.core.bounds import AT_EVALUATION, Examples
from metacl_run.core.errors import require
from metacl_run.core.transfer import upload
from metacl_run.core.types import Episode
from metacl_run.data.sources.skill_source import PlacedDemonstrations, SkillSource
from metacl_run.data.streams.acting import ActingInView
from metacl_run.data.streams.sampling import inner_batches
from metacl_run.data.streams.stream import EpisodePool, EpisodesToAct, EpisodeStream, Split
from metacl_run.scoring.objectives import REGRESSION, Objective

STEPS = 60
"""S, of which half are to adapt to."""
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class SkillEpisodes(EpisodeStream):
    """One task for each skill of the source, in the order of the source."""

    ways = 1
    reports_before = True

    source: SkillSource
    shots: Annotated[Examples, Le(STEPS // 2), AT_EVALUATION]
    """Pairs of a demonstration to adapt to."""
    queries: Annotated[Examples, Le(STEPS // 2), AT_EVALUATION]
    """Pairs between them, for the score."""
    placements: Examples
    """Demonstrations of each skill for meta-training, each from a different placement."""
    held_out: Annotated[int, Ge(1), Le(1000)]
    """Demonstrations of each skill kept for validation, and as many for test."""

    @property
    def outputs(self) -> int:
        return self.source.num_actions

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.source.example_shape

    @property
    def objective(self) -> Objective:
        return REGRESSION

    def count_tasks(self) -> int:
        return len(self.source.skills)

    def check(self, *, examples_per_class: int, replay_classes: int | None, split: Split) -> None:
        self.source.check()
        require(examples_per_class <= STEPS, "shots", self.shots, f"and queries must be at most {STEPS} pairs in all")

    def load(self, seeds: Sequence[int]) -> SkillEpisodePool:
        counts = (self.placements, self.held_out, self.held_out)
        parts = self.source.demonstrate_placements(seeds, counts, STEPS)
        hidden = [_without(part, self.source.goal) for part in parts]
        return SkillEpisodePool(
            task_names=[list(self.source.skills) for _ in seeds], parts=dict(zip(SPLITS, hidden, strict=True))
        )


@dataclass(frozen=True, kw_only=True)
class SkillEpisodePool(EpisodePool):
    """Draws placements. Shapes: E episodes."""

    task_names: list[list[str]]
    parts: dict[Split, PlacedDemonstrations]

    def to(self, device: torch.device) -> SkillEpisodePool:
        return dataclasses.replace(self, parts={split: _moved(part, device) for split, part in self.parts.items()})

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
        count = self.parts[split].observations.shape[2]
        placements = np.stack([rng.integers(count, size=tasks.shape[1]) for rng in rngs])
        inner = inner_batches(rngs, tasks.shape[1], batches, support=shots)
        return self._episodes(tasks, placements, inner, split, shots, queries)

    def to_act(
        self,
        split: Split,
        *,
        shots: int,
        queries: int,
        rngs: Sequence[np.random.Generator],
        batches: tuple[int, int] | None = None,
    ) -> EpisodesToAct:
        part = self.parts[split]
        replicates, num_tasks, count = part.observations.shape[:3]
        tasks, placements = (
            np.broadcast_to(numbers, (replicates, num_tasks * count))
            for numbers in (np.arange(num_tasks).repeat(count), np.tile(np.arange(count), num_tasks))
        )
        inner = inner_batches(rngs, tasks.shape[1], batches, support=shots)
        return EpisodesToAct(self._episodes(tasks, placements, inner, split, shots, queries), part.acting)

    def _episodes(
        self, tasks: np.ndarray, placements: np.ndarray, inner: np.ndarray, split: Split, shots: int, queries: int
    ) -> Episode:
        part = self.parts[split]
        own, place, index = upload([tasks, placements, inner], part.observations.device)
        rows = torch.arange(len(tasks), device=own.device).unsqueeze(-1)
        x, y = (leaf[rows, own, place] for leaf in (part.observations, part.actions))
        support, query = (
            torch.from_numpy(2 * (np.arange(count) * (STEPS // 2) // count) + odd).to(own.device)
            for count, odd in ((shots, 0), (queries, 1))
        )
        return Episode(x[:, :, support], y[:, :, support], x[:, :, query], y[:, :, query], index)


def without(observations: Tensor, goal: Sequence[int]) -> Tensor:
    """Observations [..., D] in which the numbers of the goal are 0."""
    hidden = observations.clone()
    hidden[..., list(goal)] = 0
    return hidden


def _without(part: PlacedDemonstrations, goal: Sequence[int]) -> PlacedDemonstrations:
    acting = ActingInView(inner=part.acting, view=lambda observations, tasks: without(observations, goal))
    return dataclasses.replace(part, observations=without(part.observations, goal), acting=acting)


def _moved(part: PlacedDemonstrations, device: torch.device) -> PlacedDemonstrations:
    return PlacedDemonstrations(
        observations=part.observations.to(device), actions=part.actions.to(device), acting=part.acting.to(device)
    )

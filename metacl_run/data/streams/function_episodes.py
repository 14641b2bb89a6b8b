"""Few-shot regression, task after task: the stream of a family of functions for protocol `continual_meta`.

An episode is one function, seen at `shots` points. Every episode draws a new function.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch

from metacl_run.core.bounds import AT_EVALUATION, Examples, Tasks
from metacl_run.core.transfer import upload
from metacl_run.core.types import Episode
from metacl_run.data.sources.source import FunctionFamily
from metacl_run.data.streams.sampling import apart, inner_batches
from metacl_run.data.streams.stream import EpisodePool, EpisodeStream, Split
from metacl_run.scoring.objectives import REGRESSION, Objective


@dataclass(frozen=True, kw_only=True)
class FunctionEpisodes(EpisodeStream):
    """Episodes of functions; nothing is read and nothing is stored."""

    ways = 1

    source: FunctionFamily
    shots: Annotated[Examples, AT_EVALUATION]
    """Support points of a function."""
    queries: Annotated[Examples, AT_EVALUATION]
    """Query points of a function."""
    num_tasks: Tasks
    """Tasks in the stream."""

    def __post_init__(self) -> None:
        self.source.check_tasks(self.num_tasks)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.source.example_shape

    @property
    def objective(self) -> Objective:
        return REGRESSION

    def count_tasks(self) -> int:
        return self.num_tasks

    def check(self, *, examples_per_class: int, replay_classes: int | None, split: Split) -> None:
        """A function has as many points as are needed, and every split as many functions."""

    def load(self, seeds: Sequence[int]) -> FunctionEpisodePool:
        names = self.source.task_names(self.num_tasks)
        return FunctionEpisodePool(
            task_names=[names] * len(seeds), source=self.source, num_tasks=self.num_tasks, device=torch.device("cpu")
        )


@dataclass(frozen=True, kw_only=True)
class FunctionEpisodePool(EpisodePool):
    """Draws functions and points. Shapes: R seeds (replicates), E episodes, K points."""

    task_names: list[list[str]]
    source: FunctionFamily
    num_tasks: int
    device: torch.device

    def to(self, device: torch.device) -> FunctionEpisodePool:
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
        uniforms = np.empty((*tasks.shape, self.source.num_parameters + shots + queries))
        rngs = apart(rngs) if split == "validation" else rngs  # else it would be the same draws as test
        for replicate, rng in enumerate(rngs):
            rng.random(out=uniforms[replicate])
        inner = inner_batches(rngs, tasks.shape[1], batches, support=shots)
        points = (values.astype(np.float32) for values in self.source.draw(tasks, self.num_tasks, uniforms))
        x, y, index = upload([*points, inner], self.device)
        return Episode.divided(x, y, shots, index)

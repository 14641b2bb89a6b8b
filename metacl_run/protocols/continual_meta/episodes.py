"""The episodes of a run under `continual_meta`: the task of each episode, and how episodes are drawn.

Shapes: R replicates, E episodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from metacl_run.algorithms.continual_meta.episode_learner import EpisodeLearner
from metacl_run.core.randomness import Purpose, generator
from metacl_run.core.types import Episode, cast_floats
from metacl_run.data.streams.stream import EpisodePool, EpisodesToAct, EpisodeStream, ModelControl, Split
from metacl_run.protocols.protocol_interface import EvalSplit


def training_examples(algo: EpisodeLearner, data: EpisodeStream) -> tuple[int, int]:
    """(shots, queries) per class of a training episode."""
    shots = data.shots if algo.train_shots is None else algo.train_shots
    return shots, data.queries if algo.train_queries is None else algo.train_queries


def episode_tasks(algo: EpisodeLearner, task: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns the task of each episode of a meta-batch, and how many classes of that task may be drawn.

    Until the first task is over, or without replay, all come from the current task. The replay buffer of n classes is shared
    out evenly: each of the k earlier tasks keeps its first n // k classes, in an order that the replicate's seed has shuffled.

    Returns:
        Two int arrays [E].
    """
    every_class = np.iinfo(np.int64).max
    tasks = np.full(algo.meta_batch_size, task, dtype=np.int64)
    if algo.replay != 0 and task > 0:
        if algo.replay_share is None:
            tasks = rng.integers(0, task + 1, algo.meta_batch_size)
        else:
            replayed = min(max(1, round(algo.replay_share * algo.meta_batch_size)), algo.meta_batch_size - 1)
            tasks[:replayed] = rng.integers(0, task, replayed)
    buffered = every_class if algo.replay is None or task == 0 else algo.replay // task
    return tasks, np.where(tasks == task, every_class, buffered)


@dataclass(frozen=True, kw_only=True)
class EpisodeSampler:
    """Draws the episodes of all replicates.

    Attributes:
        algo, data, pool: of the run.
        seeds: [R].
        eval_split: the split of evaluation episodes.
        purpose: what evaluation episodes are drawn for.
        dtype: of inputs and real targets.
    """

    algo: EpisodeLearner
    data: EpisodeStream
    pool: EpisodePool
    seeds: Sequence[int]
    eval_split: EvalSplit
    purpose: Purpose
    dtype: torch.dtype

    def training(self, unit: int, task: int, limit: int | None = None) -> Episode:
        """[R, E, ...] the meta-batch of a meta-update in this task, or its first `limit` episodes."""
        rngs = [generator(Purpose.TRAIN, seed, unit) for seed in self.seeds]
        by_replicate = [episode_tasks(self.algo, task, rng) for rng in rngs]
        tasks, classes = (np.stack(part)[:, :limit] for part in zip(*by_replicate, strict=True))
        return self._draw(tasks, "train", rngs, classes)

    def for_gradients(self, task: int, count: int) -> Episode:
        """[R, count, ...] training episodes of one task, the same at every call."""
        rngs = [generator(Purpose.INSIGHT, seed, task) for seed in self.seeds]
        return self._draw(np.full((len(rngs), count), task), "train", rngs)

    def evaluation(self, task: int, block: int, count: int) -> Episode:
        """[R, count, ...] episodes of a task's evaluation, the same at every call with this block."""
        rngs = [generator(self.purpose, seed, task, block) for seed in self.seeds]
        return self._draw(np.full((len(rngs), count), task), self.eval_split, rngs)

    def switches(self, task: int, count: int) -> tuple[Episode, Episode] | None:
        """[R, count, ...] windows before and after a switch to other dynamics of a task, the same at every call; None where
        the evaluated split has a single one of that task."""
        rngs = [generator(Purpose.RECOVERY, seed, task) for seed in self.seeds]
        shots, queries, tasks = self.data.shots, self.data.queries, np.full((len(rngs), count), task)
        batches = self.algo.inner_batches(shots * self.data.ways, False)
        pair = self.pool.switches(tasks, self.eval_split, shots=shots, queries=queries, rngs=rngs, batches=batches)
        if pair is None:
            return None
        old, new = (Episode(*(cast_floats(leaf, self.dtype) for leaf in episodes)) for episodes in pair)
        return old, new

    def to_act(self) -> EpisodesToAct | None:
        """[R, K, ...] the episodes in which a learner acts, if the data have such, the same at every call."""
        rngs = [generator(Purpose.ACT, seed) for seed in self.seeds]
        batches = self.algo.inner_batches(self.data.shots * self.data.ways, False)
        shots, queries = self.data.shots, self.data.queries
        to_act = self.pool.to_act(self.eval_split, shots=shots, queries=queries, rngs=rngs, batches=batches)
        if to_act is None:
            return None
        return to_act._replace(episodes=Episode(*(cast_floats(leaf, self.dtype) for leaf in to_act.episodes)))

    def control(self) -> ModelControl | None:
        """Bodies to be moved by a controller, if the data have such, the same at every call."""
        return self.pool.control(self.eval_split, self.of_control(0))

    def of_control(self, part: int) -> list[list[np.random.Generator]]:
        """[R][T] generators of one part of what is random about control."""
        return [
            [generator(Purpose.CONTROL, seed, task, part) for task in range(len(self.pool.task_names[0]))]
            for seed in self.seeds
        ]

    def _draw(
        self, tasks: np.ndarray, split: Split, rngs: list[np.random.Generator], classes: np.ndarray | None = None
    ) -> Episode:
        training, ways, pool = split == "train", self.data.ways, self.pool
        shots, queries = training_examples(self.algo, self.data) if training else (self.data.shots, self.data.queries)
        if training and (own_ways := self.algo.training_ways(ways)) != ways:
            ways, pool = own_ways, pool.with_ways(own_ways)
        batches = self.algo.inner_batches(shots * ways, training)
        episodes = pool.sample(tasks, split, shots=shots, queries=queries, rngs=rngs, classes=classes, batches=batches)
        return Episode(*(cast_floats(leaf, self.dtype) for leaf in episodes))

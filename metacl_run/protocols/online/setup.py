"""The parts of a run under `online` that trainer, scorer and the rest share."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from metacl_run.algorithms.online.stream_learner import StreamLearner, StreamState
from metacl_run.core.randomness import Purpose, generator
from metacl_run.core.task_lengths import TaskLengths
from metacl_run.core.types import Params, Pytree, Samples
from metacl_run.data.streams.stream import SamplePool, SampleStream
from metacl_run.inner.engine import Engine
from metacl_run.models.network import Network, initial_params
from metacl_run.protocols.run_context import RunContext

LABELS_AT_ONCE = 1000
"""Samples whose labels are read together, since some pools gather their inputs with them."""


@dataclass(frozen=True, kw_only=True)
class StreamSetup:
    """A learner, its network and its stream, on the run's device.

    A task has a whole number of batches here; the last samples that fill none are left out, and a sample's number counts
    those that are used.

    Attributes:
        algo, pool: of the run.
        network: how the network is called; at evaluation, where it has running averages.
        initial_params: [R] its parameters before any learning.
        seeds: [R].
        num_tasks: T.
        pass_units, epochs: observations of each task in one pass, and passes over it before the next task.
        input_shape: of one example.
        labels_recur: whether every task has the same labels, for samples of its own.
        engine: maps over replicates.
        device, dtype: of inputs and parameters.
    """

    algo: StreamLearner[Any]
    pool: SamplePool
    network: Network
    initial_params: list[Params]
    seeds: Sequence[int]
    num_tasks: int
    pass_units: TaskLengths
    epochs: int
    input_shape: tuple[int, ...]
    labels_recur: bool
    engine: Engine
    device: torch.device
    dtype: torch.dtype

    @classmethod
    def of(cls, context: RunContext[StreamLearner[Any], SampleStream, SamplePool], epochs: int) -> StreamSetup:
        algo, data, pool, gpu = context.algo, context.data, context.pool, context.gpu
        outputs = data.count_outputs()
        networks = [initial_params(context.model, data.input_shape, outputs, seed, gpu.dtype) for seed in context.seeds]
        return cls(
            algo=algo,
            pool=pool,
            network=Network(
                networks[0][0].to(gpu.torch_device), outputs, gpu.compute_dtype, pool.masks, objective=data.objective
            ).in_mode("evaluation"),
            initial_params=[params for _, params in networks],
            seeds=context.seeds,
            num_tasks=len(pool.task_names[0]),
            pass_units=TaskLengths.of([length // algo.batch_size for length in pool.lengths.lengths]),
            epochs=epochs,
            input_shape=data.input_shape,
            labels_recur=data.labels_recur,
            engine=Engine(kind=gpu.engine_kind),
            device=gpu.torch_device,
            dtype=gpu.dtype,
        )

    @functools.cached_property
    def units(self) -> TaskLengths:
        """Observations of each task, in all passes."""
        return self.pass_units.times(self.epochs)

    @functools.cached_property
    def used(self) -> TaskLengths:
        """Training samples of each task that fill batches."""
        return self.pass_units.times(self.algo.batch_size)

    @property
    def units_per_task(self) -> int:
        """Observations of a task, in all passes; of the longest where they differ."""
        return self.units.longest

    def batch_numbers(self, replicate: int, units: range) -> np.ndarray:
        """[U, B] the samples of some observations, by number: the first pass over a task in the order of the stream, every
        other one in a random order of its own."""
        batch = self.algo.batch_size
        tasks, places = self.units.within(np.arange(units.start, units.stop))
        passes, places = np.divmod(places, np.array(self.pass_units.lengths)[tasks])
        numbers = places[:, None] * batch + np.arange(batch)
        for task, again in np.unique(np.stack([tasks, passes], 1), axis=0).tolist():
            own = (tasks == task) & (passes == again)
            if again:
                rng = generator(Purpose.PASSES, self.seeds[replicate], task, again)
                numbers[own] = rng.permutation(self.used.lengths[task])[numbers[own]]
            numbers[own] += self.used.starts[task]
        return numbers

    def initial_learners(self) -> list[StreamState]:
        """[R] the learner's state of each replicate before any learning."""
        return [self.algo.init(self.network, params, self.num_tasks) for params in self.initial_params]

    def gather(self, replicate: int, numbers: np.ndarray) -> Samples:
        """Training samples of a replicate, with the axes of `numbers`; not yet of `dtype`."""
        return self.pool.gather(replicate, self._in_pool(numbers))

    def _in_pool(self, numbers: np.ndarray) -> np.ndarray:
        """The pool's numbers of samples, which count those that fill no batch as well."""
        tasks, places = self.used.within(numbers)
        return np.asarray(self.pool.lengths.starts[tasks] + places)

    def labels(self, replicate: int) -> np.ndarray:
        """[samples] the classes of a replicate's training samples, by number."""
        numbers = np.arange(self.used.total)
        blocks = np.split(numbers, range(LABELS_AT_ONCE, len(numbers), LABELS_AT_ONCE))
        return np.concatenate([self.pool.labels(replicate, self._in_pool(block)) for block in blocks])

    def random_numbers(self, replicate: int, task: int, count: int, purpose: Purpose) -> np.ndarray:
        """[at most count] training samples of a task, by number, drawn at random for one replicate."""
        order = generator(purpose, self.seeds[replicate], task).permutation(self.used.lengths[task])[:count]
        return np.asarray(self.used.starts[task] + order)

    def random_samples(self, replicate: int, task: int, count: int, purpose: Purpose) -> Samples:
        """[at most count] training samples of a task, drawn at random for one replicate."""
        return self.gather(replicate, self.random_numbers(replicate, task, count, purpose)).cast(self.dtype)

    def outputs(self, learner: StreamState, replicate: int, x: Tensor, task: Tensor | None) -> Tensor:
        """[N, outputs] what a replicate predicts for inputs of known or unknown tasks."""
        state = tree_map(lambda leaf: leaf[replicate], learner)
        return self.algo.predict(self.network, state, x, task)


def params_of(learner: Pytree, replicate: int) -> Params:
    """The parameters of a replicate."""
    return {name: value[replicate] for name, value in learner["params"].items()}

"""The parts of a run under `osaka` that its trainer and its record share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch

from metacl_run.algorithms.osaka.task_free_learner import Observed, TaskFreeLearner
from metacl_run.core.randomness import Purpose, generator
from metacl_run.core.transfer import upload
from metacl_run.core.types import Episode, Params, Pytree, cast_floats
from metacl_run.data.streams.recurring_stream import RecurringPool, RecurringStream
from metacl_run.inner.engine import Engine
from metacl_run.models.network import Network, initial_params
from metacl_run.protocols.run_context import RunContext


class RecurringState(TypedDict):
    """The learner's state of a run, of one replicate or of all."""

    now: Pytree
    """The algorithm's state."""
    at_start: Pytree
    """The same before the first step of the stream, for an evaluation on another stream."""


@dataclass(frozen=True, kw_only=True)
class RecurringSetup:
    """A learner, its network and its stream, on the run's device.

    Attributes:
        algo, pool: of the run.
        network: how the network is called.
        initial_params: [R] its parameters before any learning.
        seeds: [R].
        engine: maps over replicates.
        device, dtype: of inputs and parameters.
    """

    algo: TaskFreeLearner
    pool: RecurringPool
    network: Network
    initial_params: list[Params]
    seeds: Sequence[int]
    engine: Engine
    device: torch.device
    dtype: torch.dtype

    @classmethod
    def of(cls, context: RunContext[TaskFreeLearner, RecurringStream, RecurringPool]) -> RecurringSetup:
        data, gpu = context.data, context.gpu
        networks = [initial_params(context.model, data.input_shape, data.outputs, seed, gpu.dtype) for seed in context.seeds]
        return cls(
            algo=context.algo,
            pool=context.pool,
            network=Network(networks[0][0].to(gpu.torch_device), data.outputs, gpu.compute_dtype, objective=data.objective),
            initial_params=[params for _, params in networks],
            seeds=context.seeds,
            engine=Engine(kind=gpu.engine_kind),
            device=gpu.torch_device,
            dtype=gpu.dtype,
        )

    def initial_learners(self) -> list[RecurringState]:
        """[R] the learner's state of each replicate before any learning."""
        states = []
        first = self.observed(0)
        for place, (seed, params) in enumerate(zip(self.seeds, self.initial_params, strict=True)):
            size = sum(value.numel() for value in params.values())
            rates = torch.from_numpy(generator(Purpose.RATES, seed).random(size))
            batch = Observed(*(leaf[place].cpu() for leaf in first))
            state = self.algo.init(self.network, params, rates, batch)
            states.append(RecurringState(now=state, at_start=state))
        return states

    def episodes(self, unit: int) -> Episode:
        """[R, E, ...] the episodes of a meta-update of pre-training."""
        rngs = [generator(Purpose.TRAIN, seed, unit) for seed in self.seeds]
        episodes = self.pool.episodes(self.algo.count_episodes(), rngs)
        return Episode(*(cast_floats(leaf, self.dtype) for leaf in episodes))

    def observed(self, step: int) -> Observed:
        """[R, ...] the batch of a step, and the learners' random numbers."""
        x, y = self.pool.batch(step)
        count = self.algo.count_noise(self.initial_params[0])
        numbers = [generator(Purpose.STEP_NOISE, seed, step).standard_normal(count, np.float32) for seed in self.seeds]
        (noise,) = upload([np.stack(numbers)], self.device)
        return Observed(cast_floats(x, self.dtype), cast_floats(y, self.dtype), noise.to(self.dtype))

"""Learning a stream under `online`: a unit is one observation."""

from __future__ import annotations

import torch
from torch.utils._pytree import tree_map

from metacl_run.algorithms.online.stream_learner import StreamState
from metacl_run.core.randomness import Purpose
from metacl_run.core.types import Samples
from metacl_run.inner.several_updates import Metrics, SeveralUpdates
from metacl_run.protocols.online.observations import Observations
from metacl_run.protocols.online.setup import StreamSetup
from metacl_run.protocols.trainer import Trainer


class StreamTrainer(Trainer):
    """Observes the stream in order."""

    remedy = "A smaller learning rate (algo.lr, algo.inner_lr)"

    def __init__(self, setup: StreamSetup) -> None:
        self._setup, self._observations = setup, Observations(setup)
        observe = setup.engine.over_replicates(lambda state, observed: setup.algo.observe(setup.network, state, observed))
        self._updates = SeveralUpdates(setup.engine, observe)
        self.at_once = self._updates.at_once

    @property
    def examples_per_unit(self) -> int:
        return self._observations.examples

    def step(self, learner: StreamState, unit: int) -> tuple[StreamState, Metrics]:
        learner, metrics = self.steps(learner, None, range(unit, unit + 1))
        assert metrics is not None
        return learner, metrics

    def steps(self, learner: StreamState, sums: Metrics | None, units: range) -> tuple[StreamState, Metrics | None]:
        while units:
            observations = self._observations.block(units)
            learner, sums = self._updates(learner, sums, observations)
            units = units[len(observations.write) :]
        return learner, sums

    def end_task(self, learner: StreamState, task: int) -> StreamState:
        setup, count = self._setup, self._setup.algo.num_consolidation_samples
        by_replicate = [setup.random_samples(r, task, count, Purpose.END_OF_TASK) for r in range(len(setup.seeds))]
        samples: Samples = tree_map(lambda *leaves: torch.stack(leaves), *by_replicate)
        end = setup.engine.over_replicates(lambda state, own: setup.algo.end_task(setup.network, state, own))
        state: StreamState = end(learner, samples)
        return state

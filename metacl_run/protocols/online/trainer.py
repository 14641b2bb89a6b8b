"""Learning a stream under `online`: a unit is one observation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from metacl_run.algorithms.online.exemplar_learner import ExemplarLearner
from metacl_run.algorithms.online.stream_learner import StreamState
from metacl_run.core.randomness import Purpose
from metacl_run.core.types import Observation, Pytree, Samples, WeightedSamples
from metacl_run.inner.several_updates import Metrics, SeveralUpdates
from metacl_run.protocols.online.observations import Observations
from metacl_run.protocols.online.setup import StreamSetup
from metacl_run.protocols.trainer import Trainer
from metacl_run.protocols.unit_check import check_masked_loss, check_outputs, check_state, check_unit


def observing(setup: StreamSetup) -> Callable[[StreamState, Observation], tuple[StreamState, Metrics]]:
    """How one replicate learns from an observation.

    Where the network has running averages, the method calls it as in training, and the averages move once, towards the
    statistics of all that is learned from in this observation, at the weights before it: the batch and its draws; of a
    method that replays task by task the batch alone; the draws alone where they take the place of the batch.
    """
    algo, spec = setup.algo, setup.algo.replay_spec(setup.num_tasks)
    if not setup.network.has_running_averages:
        return lambda state, observed: algo.observe(setup.network, state, observed)
    training, tracking = setup.network.in_mode("training"), setup.network.in_mode("tracking")

    def observe(state: StreamState, observed: Observation) -> tuple[StreamState, Metrics]:
        observed = observed.filled()
        batch, drawn = observed.batch.x, observed.replay.x.flatten(0, 1)
        learned = batch if spec.by_task else drawn if spec.keep in ("seen", "all") else torch.cat([batch, drawn])
        averages = tracking.moved_averages(state["params"], learned)
        after, metrics = algo.observe(training, state, observed)
        return {**after, "params": {**after["params"], **averages}}, metrics

    return observe


class StreamTrainer(Trainer):
    """Observes the stream in order."""

    def __init__(self, setup: StreamSetup) -> None:
        self._setup, self._observations = setup, Observations(setup)
        self._observe = observing(setup)
        self._updates = SeveralUpdates(setup.engine, setup.engine.over_replicates(self._observe))
        self.at_once = self._updates.at_once

    def check(self, learner: StreamState, unit: int) -> None:
        setup, name = self._setup, type(self._setup.algo).__name__
        observed: Observation = tree_map(lambda leaf: leaf[0], self._observed(learner, range(unit, unit + 1)))
        _, metrics = check_unit(self._observe, learner, observed, name=name, part="observe")
        if setup.network.masks is not None:
            check_masked_loss(metrics, name=name)
        end, inputs = self._end_of_task(learner, setup.units.task_at(unit))
        check_state(end, learner, *inputs, name=name, when="at the end of a task")

        def predict(state: StreamState, x: Tensor, task: Tensor) -> Tensor:
            return setup.algo.predict(setup.network, state, x, task)

        batch = observed.batch
        check_outputs(predict, learner, batch.x, batch.task, outputs=setup.network.ways, name=name)

    def count_examples(self, units: range) -> int:
        return self._observations.count_examples(units)

    def count_examples_at_end(self) -> int:
        algo = self._setup.algo
        chosen = algo.replay_spec(self._setup.num_tasks).capacity if isinstance(algo, ExemplarLearner) else 0
        return algo.num_consolidation_samples + chosen

    def step(self, learner: StreamState, unit: int) -> tuple[StreamState, Metrics]:
        learner, metrics = self.steps(learner, None, range(unit, unit + 1))
        assert metrics is not None
        return learner, metrics

    def steps(self, learner: StreamState, sums: Metrics | None, units: range) -> tuple[StreamState, Metrics | None]:
        while units:
            observations = self._observed(learner, units)
            learner, sums = self._updates(learner, sums, observations)
            units = units[len(observations.write) :]
        return learner, sums

    def _observed(self, learner: Any, units: range) -> Observation:
        """[U, R, ...] the next observations; one where the draws follow from what the learner has chosen."""
        if isinstance(self._setup.algo, ExemplarLearner):
            return self._observations.of_exemplars(units.start, learner["exemplars"])
        return self._observations.block(units)

    def end_task(self, learner: Any, task: int) -> StreamState:
        end, inputs = self._end_of_task(learner, task)
        state: StreamState = self._setup.engine.over_replicates(end)(learner, *inputs)
        return state

    def _end_of_task(self, learner: Any, task: int) -> tuple[Callable[..., StreamState], tuple[Pytree, ...]]:
        """What one replicate does when a task is over, (state, *inputs) -> state, and the inputs of all, [R, ...]."""
        setup, replicates = self._setup, range(len(self._setup.seeds))
        count, algo = setup.algo.num_consolidation_samples, setup.algo
        numbers = [setup.random_numbers(replicate, task, count, Purpose.END_OF_TASK) for replicate in replicates]
        samples = self._gathered(numbers)
        if not isinstance(algo, ExemplarLearner):
            return lambda state, own: algo.end_task(setup.network, state, own), (samples,)
        own = learner["exemplars"]
        exemplars = self._gathered(list(own.clamp(min=0).cpu().numpy()))
        weighted = WeightedSamples(exemplars, (own >= 0).to(setup.dtype))
        inputs = samples, torch.from_numpy(np.stack(numbers)).to(setup.device), weighted
        return lambda state, *parts: algo.choose(setup.network, state, *parts), inputs

    def _gathered(self, numbers: Sequence[np.ndarray]) -> Samples:
        """[R, N] training samples of every replicate, by number."""
        setup = self._setup
        by_replicate = [setup.gather(replicate, own).cast(setup.dtype) for replicate, own in enumerate(numbers)]
        samples: Samples = tree_map(lambda *leaves: torch.stack(leaves), *by_replicate)
        return samples

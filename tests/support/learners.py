"""Any option of `configs/algo`, built as it is composed, on tiny random data in float64 and without its protocol."""

from __future__ import annotations

import abc
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from metacl_run.algorithms.continual_meta.episode_learner import EpisodeLearner
from metacl_run.algorithms.meta_continual.trajectory_learner import TrajectoryLearner
from metacl_run.algorithms.online.exemplar_learner import ExemplarLearner
from metacl_run.algorithms.online.stream_learner import StreamLearner
from metacl_run.algorithms.osaka.task_free_learner import Observed, TaskFreeLearner
from metacl_run.core.types import Episode, Metrics, Observation, Params, Pytree, Samples, Trajectory, WeightedSamples
from metacl_run.inner.engine import Engine
from metacl_run.models.mlp import Mlp
from metacl_run.models.network import Model, Network, initial_params
from metacl_run.scoring.objectives import CLASSIFICATION, Objective
from tests.support.composing import experiment_of

ALGORITHMS = sorted(path.stem for path in (Path(__file__).parents[2] / "configs" / "algo").glob("*.yaml"))
INPUTS, WAYS, TASKS = 5, 12, 3
"""Numbers of an example; classes, or dimensions of a target; tasks of a stream."""
ENGINE = Engine(kind="vmap")


class Draws:
    """Random examples of one seed."""

    def __init__(self, seed: int, objective: Objective) -> None:
        self.generator, self.objective = torch.Generator().manual_seed(seed), objective

    def inputs(self, *shape: int) -> Tensor:
        return torch.randn(*shape, INPUTS, dtype=torch.float64, generator=self.generator)

    def places(self, limit: int, *shape: int) -> Tensor:
        return torch.randint(limit, shape, generator=self.generator)

    def targets(self, labels: Tensor) -> Tensor:
        """The labels themselves, or real targets where the objective is no classification."""
        if self.objective is CLASSIFICATION:
            return labels
        return torch.randn(*labels.shape, WAYS, dtype=torch.float64, generator=self.generator)

    def samples(self, *shape: int) -> Samples:
        labels = self.places(WAYS, *shape)
        return Samples(self.inputs(*shape), self.targets(labels), torch.zeros_like(labels))


@dataclass(frozen=True)
class TinyLearner(abc.ABC):
    """A learner with a perceptron of one hidden layer. `start` and `batch` draw from a seed."""

    algo: Any
    objective: Objective

    @abc.abstractmethod
    def start(self, seed: int) -> Pytree: ...

    @abc.abstractmethod
    def batch(self, seed: int) -> Pytree: ...

    @abc.abstractmethod
    def update(self, state: Pytree, batch: Pytree) -> tuple[Pytree, Metrics]:
        """One unit of work."""

    def end_task(self, state: Pytree, batch: Pytree) -> Pytree:
        """What a learner does at the end of a task. Default: nothing."""
        return state

    def step(self, state: Pytree, batch: Pytree) -> tuple[Pytree, Metrics]:
        """One unit of work, the last of its task."""
        state, metrics = self.update(state, batch)
        return self.end_task(state, batch), metrics

    @abc.abstractmethod
    def predict(self, state: Pytree, batch: Pytree) -> Tensor:
        """Outputs [N, WAYS] for some of the batch, after learning what an evaluation learns."""

    @property
    def num_outputs(self) -> int | None:
        return WAYS

    @functools.cached_property
    def network(self) -> Network:
        return Network(self._drawn(0)[0], WAYS, objective=self.objective)

    def params(self, seed: int) -> Params:
        return self._drawn(seed)[1]

    def draws(self, seed: int) -> Draws:
        return Draws(seed, self.objective)

    @property
    def model(self) -> Model:
        return Mlp(hidden=[7], batch_norm=False, initial="torch")

    def _drawn(self, seed: int) -> tuple[Any, Params]:
        return initial_params(self.model, (INPUTS,), self.num_outputs, seed, torch.float64)


class TinyEpisodeLearner(TinyLearner):
    """Episodes of two shots, or of as many as the settings say."""

    @property
    def num_outputs(self) -> int | None:
        outputs: int | None = self.algo.num_outputs(WAYS)
        return outputs

    def start(self, seed: int) -> Pytree:
        params = self.params(seed)
        count = sum(value.numel() for value in params.values())
        rates = torch.rand(count, generator=torch.Generator().manual_seed(seed))
        return self.algo.start(self.network, params, rates)

    def batch(self, seed: int) -> Episode:
        draws, episodes = self.draws(seed), self.algo.meta_batch_size
        shots = self.algo.train_shots or 2
        queries = 2 if self.algo.train_queries is None else self.algo.train_queries
        support, query = (torch.arange(WAYS).repeat(count).expand(episodes, -1) for count in (shots, queries))
        steps, size = self.algo.inner_batches(shots * WAYS, True) or (0, 0)
        batches = draws.places(shots * WAYS, episodes, steps, size)
        parts = (part for labels in (support, query) for part in (draws.inputs(*labels.shape), draws.targets(labels)))
        return Episode(*parts, batches)

    def update(self, state: Pytree, batch: Pytree) -> tuple[Pytree, Metrics]:
        return self.algo.meta_update(self.network, ENGINE, 10, state, batch)

    def predict(self, state: Pytree, batch: Pytree) -> Tensor:
        episode = tree_map(lambda leaf: leaf[0], batch)
        fast = self.algo.learn(self.network, state["meta"], state["carry"], episode)
        return self.algo.predict(self.network, state["meta"], fast, episode.support_x)


class TinyTrajectoryLearner(TinyLearner):
    """Trajectories as the settings say, with labels of the first classes."""

    @property
    def model(self) -> Model:
        model: Model = self.algo.model_of(super().model, self.objective)
        return model

    @property
    def num_outputs(self) -> int | None:
        outputs: int | None = self.algo.num_outputs(WAYS)
        return outputs

    def start(self, seed: int) -> Pytree:
        return self.algo.start(self.network, self.params(seed))

    def batch(self, seed: int) -> Trajectory:
        algo, draws = self.algo, self.draws(seed)
        classes = torch.arange(algo.classes).expand(algo.meta_batch_size, -1)
        learned = classes.repeat_interleave(algo.class_steps, 1).unsqueeze(2).expand(-1, -1, algo.step_examples)
        x, y = draws.inputs(*learned.shape), draws.targets(learned)
        apart = algo.query_examples is not None
        labels = classes.repeat_interleave(algo.query_examples, 1) if apart else learned.flatten(1)
        labels = torch.cat([labels, draws.places(WAYS, algo.meta_batch_size, algo.remember)], 1)
        query_x, query_y = draws.inputs(*labels.shape), draws.targets(labels)
        if not apart:  # the trajectory comes first among the queries
            query_x = torch.cat([x.flatten(1, 2), query_x[:, x.shape[1] * x.shape[2] :]], 1)
        width = algo.fresh_width(self.network, self.params(seed))
        fresh = torch.randn(*classes.shape, width, dtype=torch.float64, generator=draws.generator)
        return Trajectory(x, y, query_x, query_y, classes, fresh)

    def update(self, state: Pytree, batch: Pytree) -> tuple[Pytree, Metrics]:
        return self.algo.meta_update(self.network, ENGINE, 10, state, batch)

    def predict(self, state: Pytree, batch: Pytree) -> Tensor:
        learner, meta, draws = self.algo.sequence_learner, state["meta"], self.draws(0)
        labels = torch.arange(WAYS).repeat_interleave(self.algo.step_examples)
        prepared = learner.prepare(self.network, meta, draws.inputs(*labels.shape))
        fresh = torch.ones(WAYS, self.algo.fresh_width(self.network, meta["params"]), dtype=torch.float64)
        fast, rate = learner.begin(self.network, meta, fresh, prepared), torch.tensor(0.1, dtype=torch.float64)
        fast = learner.learn(self.network, meta, fast, prepared, draws.targets(labels), rate)
        return learner.predict(self.network, meta, fast, prepared)


class TinyStreamLearner(TinyLearner):
    """Batches of the stream, with draws of which the last place is empty, and samples for the end of a task."""

    def start(self, seed: int) -> Pytree:
        return self.algo.init(self.network, self.params(seed), TASKS)

    def batch(self, seed: int) -> tuple[Observation, Samples, Samples]:
        algo, draws, spec = self.algo, self.draws(seed), self.algo.replay_spec(TASKS)
        order = torch.stack([torch.randperm(algo.batch_size, generator=draws.generator) for _ in range(spec.draws)])
        weight = torch.ones(spec.draws, spec.size, dtype=torch.float64)
        weight[:, -1:] = 0
        slot = draws.places(max(1, spec.capacity), spec.draws, spec.size)
        write = draws.places(spec.capacity + 1, algo.batch_size)
        batch, replay = draws.samples(algo.batch_size), draws.samples(spec.draws, spec.size)
        number = draws.places(1000, algo.batch_size)
        uniform = torch.rand(algo.batch_size, spec.uniforms, generator=draws.generator)
        observation = Observation(batch, order, replay, weight, slot, write, number, uniform)
        exemplars = draws.samples(algo.memory if isinstance(algo, ExemplarLearner) else 0)
        return observation, draws.samples(algo.num_consolidation_samples), exemplars

    def update(self, state: Pytree, batch: Pytree) -> tuple[Pytree, Metrics]:
        return self.algo.observe(self.network, state, batch[0])

    def end_task(self, state: Pytree, batch: Pytree) -> Pytree:
        _, samples, exemplars = batch
        if not isinstance(self.algo, ExemplarLearner):
            return self.algo.end_task(self.network, state, samples)
        weight = (state["exemplars"] >= 0).double()
        number = 1000 + torch.arange(len(samples.task))
        return self.algo.choose(self.network, state, samples, number, WeightedSamples(exemplars, weight))

    def predict(self, state: Pytree, batch: Pytree) -> Tensor:
        return self.algo.predict(self.network, state, batch[0].batch.x, batch[0].batch.task)


class TinyRecurringLearner(TinyLearner):
    """Batches of a stream whose tasks recur, each predicted before it is learned."""

    def start(self, seed: int) -> Pytree:
        params = self.params(seed)
        count = sum(value.numel() for value in params.values())
        rates = torch.rand(count, generator=torch.Generator().manual_seed(seed))
        return self.algo.begin(self.network, self.algo.init(self.network, params, rates, self.batch(seed)))

    def batch(self, seed: int) -> Observed:
        draws, labels = self.draws(seed), torch.arange(WAYS).repeat(2)
        count = self.algo.count_noise(self.params(0))
        noise = torch.randn(count, dtype=torch.float64, generator=draws.generator)
        return Observed(draws.inputs(*labels.shape), draws.targets(labels), noise)

    def update(self, state: Pytree, batch: Pytree) -> tuple[Pytree, Metrics]:
        loss = self.network.objective.loss(self.algo.predict(self.network, state, batch.x), batch.y)
        learned, switch = self.algo.observe(self.network, state, batch)
        return learned, {"loss": loss, "switch": switch}

    def predict(self, state: Pytree, batch: Pytree) -> Tensor:
        return self.algo.predict(self.network, state, batch.x)


KINDS: dict[type, type[TinyLearner]] = {
    EpisodeLearner: TinyEpisodeLearner,
    StreamLearner: TinyStreamLearner,
    TaskFreeLearner: TinyRecurringLearner,
    TrajectoryLearner: TinyTrajectoryLearner,
}


@functools.cache
def tiny_learner(name: str) -> TinyLearner:
    """Composes `algo=<name>` alone, and builds and checks it."""
    experiment = experiment_of([f"algo={name}"])
    (kind,) = (tiny for interface, tiny in KINDS.items() if isinstance(experiment.algo, interface))
    return kind(experiment.algo, experiment.data.objective)

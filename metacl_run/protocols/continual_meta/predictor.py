"""A few-shot learner outside a run: adapts to a support set, then predicts.

Shapes: S support examples, N inputs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from metacl_run.algorithms.continual_meta.episode_learner import EpisodeLearner
from metacl_run.algorithms.meta_learner import MetaState
from metacl_run.core.errors import ConfigError
from metacl_run.core.randomness import Purpose, generator
from metacl_run.core.types import Episode, Params, Pytree
from metacl_run.data.streams.sampling import draw_batches
from metacl_run.models.layers import has_batch_norm
from metacl_run.models.network import Network
from metacl_run.protocols.continual_meta.scorer import predict_one_by_one
from metacl_run.protocols.predictor import Predictor, Task


@dataclass(frozen=True, kw_only=True)
class FewShotPredictor(Predictor):
    """A learner and, once it has adapted, what it has learned.

    Attributes:
        algo: of the run.
        state: of one replicate, at the end of the run.
        fast: what `EpisodeLearner.learn` returned for `episode`; None before.
        episode: the support set, without queries.
    """

    algo: EpisodeLearner
    state: MetaState
    fast: Pytree = None
    episode: Episode | None = None

    learns_in_sequence = False

    @property
    def params(self) -> Params:
        own = self.state["meta"]["params"]
        adapts_weights = isinstance(self.fast, dict) and self.fast.keys() == own.keys()
        return dict(self.fast) if adapts_weights else own

    @property
    def num_outputs(self) -> int | None:
        return self.algo.num_outputs(self.network.ways)

    def learn(self, x: Tensor, y: Tensor, rate: float | None = None) -> FewShotPredictor:
        if rate is not None:
            raise ConfigError(f"rate={rate}: {type(self.algo).__name__} has its rate among its settings (algo.inner_lr)")
        ways = self.num_outputs or (int(y.max()) + 1)
        network = self.network if ways == self.network.ways else _with_ways(self.network, ways)
        empty = x[:0], y[:0]
        episode = Episode(x, y, *empty, self._batches(len(x)).to(x.device))
        with torch.no_grad():
            fast = self.algo.learn(network, self.state["meta"], self.state["carry"], episode)
        return replace(self, network=network, fast=fast, episode=episode)

    def outputs(self, x: Tensor, *, together: bool = False, task: Task | None = None) -> Tensor:
        if self.episode is None:
            raise ConfigError(f"{type(self.algo).__name__} predicts after it has adapted to a support set: adapt(x, y) first")
        if task is not None:
            raise ConfigError(f"task={task}: a few-shot learner is not told a task; adapt(x, y) tells it the classes")
        meta, fast = self.state["meta"], self.fast

        def predict(inputs: Tensor) -> Tensor:
            return self.algo.predict(self.network, meta, fast, inputs)

        with torch.no_grad():
            if together or not has_batch_norm(self.network.module):
                return predict(x)
            return predict_one_by_one(predict, self.episode._replace(query_x=x))

    def _batches(self, support: int) -> Tensor:
        """The mini-batches of the inner loop, where it runs on any."""
        shape = self.algo.inner_batches(support, False)
        if shape is None:
            return torch.empty(0, 0, dtype=torch.int64)
        steps, batch = shape
        return torch.from_numpy(draw_batches(generator(Purpose.PREDICT, 0), 1, steps, batch, support)[0])


def _with_ways(network: Network, ways: int) -> Network:
    """The same network for another number of classes, where it has no output for each."""
    return Network(network.module, ways, network.compute_dtype, objective=network.objective, rollout=network.rollout)

"""Few-shot learners of classes that summarise the features of a support set in closed form: prototypes, a ridge regression.

Nothing adapts by gradient; the meta-gradient is an ordinary gradient through the summary.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor
from torch.func import grad_and_value

from metacl_run.algorithms.continual_meta.episode_learner import EpisodeLearner
from metacl_run.algorithms.meta_learner import Update, metrics_of
from metacl_run.core.bounds import Classes, Examples, Hint
from metacl_run.core.types import Episode, Pytree
from metacl_run.models.network import Network


@dataclass(frozen=True, kw_only=True)
class ClosedFormLearner(EpisodeLearner):
    """A learner whose network has no head. Settings common to all:

    Attributes:
        train_ways: classes of a training episode; null: data.ways.
    """

    train_queries: Annotated[Examples, Hint("the loss is taken on the query set")] | None
    train_ways: Annotated[Classes, Ge(2)] | None

    @abc.abstractmethod
    def summary(self, network: Network, meta: Pytree, episode: Episode, ways: int) -> Tensor:
        """What `predict` needs of a support set of so many classes."""

    def training_ways(self, ways: int) -> int:
        return self.train_ways or ways

    def num_outputs(self, ways: int) -> int | None:
        return None

    def inner_batches(self, support: int, training: bool) -> tuple[int, int] | None:
        return None

    def episode_update(self, network: Network, meta: Pytree, carry: Pytree, episode: Episode) -> Update:
        of_meta = grad_and_value(lambda meta: self.query_loss(network, meta, episode), has_aux=True)
        gradient, (loss, logits) = of_meta(meta)
        return Update(gradient, carry, metrics_of(network, loss, logits, episode.query_y))

    def query_loss(self, network: Network, meta: Pytree, episode: Episode) -> tuple[Tensor, Tensor]:
        """The loss of a training episode on its query set, and the logits."""
        learned = self.summary(network, meta, episode, self.training_ways(network.ways))
        logits = self.predict(network, meta, learned, episode.query_x)
        return network.objective.loss(logits, episode.query_y), logits

    def learn(self, network: Network, meta: Pytree, carry: Pytree, episode: Episode) -> Tensor:
        return self.summary(network, meta, episode, network.ways)

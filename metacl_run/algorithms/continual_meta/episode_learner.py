"""The interface of a meta-learner under protocol `continual_meta`, the outer update, and what every learner can be told.

An algorithm is settings plus pure functions of explicit state, written for ONE replicate and ONE episode. The axes are added
from outside by `inner/engine.py`. It draws no random numbers, logs nothing and does not know the device.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Lt
from torch import Tensor

from metacl_run.algorithms.meta_learner import MetaLearner, State, Update
from metacl_run.core.bounds import Examples, ExamplesFromZero, Positive
from metacl_run.core.types import Episode, Params, Pytree
from metacl_run.models.base import Network


@dataclass(frozen=True, kw_only=True)
class EpisodeLearner(MetaLearner):
    """A learner whose unit of work is a meta-update on a batch of episodes. These fields are common to all.

    Attributes:
        replay: classes of earlier tasks remembered, in all, shared out evenly among them; null: all classes of every task.
        replay_share: share of each meta-batch drawn from memory once there is one; null: every episode's task is drawn
            uniformly from all tasks seen, the current one included (follow the meta leader).
        train_shots: examples per class an episode adapts to while meta-learning; null: data.shots.
        train_queries: query examples per class while meta-learning; null: data.queries.
    """

    replay: ExamplesFromZero | None
    replay_share: Annotated[Positive, Lt(1)] | None
    train_shots: Examples | None
    train_queries: ExamplesFromZero | None

    # ------------------------------------------------------------------------------------------- what a method defines

    @abc.abstractmethod
    def num_outputs(self, ways: int) -> int | None:
        """Outputs the network needs; None: features without a head."""

    @abc.abstractmethod
    def init(self, network: Network, params: Params, rates: Tensor) -> tuple[Pytree, Pytree]:
        """The initial (meta, carry) of one replicate; `rates` is [number of parameters] uniform in [0, 1)."""

    @abc.abstractmethod
    def episode_update(self, network: Network, meta: Pytree, carry: Pytree, episode: Episode) -> Update:
        """What one training episode contributes."""

    @abc.abstractmethod
    def learn(self, network: Network, meta: Pytree, carry: Pytree, episode: Episode) -> Pytree:
        """What an evaluation episode's support set makes of the learner; the query set is not looked at."""

    @abc.abstractmethod
    def predict(self, network: Network, meta: Pytree, fast: Pytree, x: Tensor) -> Tensor:
        """Outputs [N, ways] for inputs [N, ...] after `learn` has given `fast`. The inputs pass through the network together,
        so that its batch norm sees them all: which inputs these are is the protocol's to say."""

    @abc.abstractmethod
    def inner_batches(self, support: int, training: bool) -> tuple[int, int] | None:
        """(inner steps, batch) when the inner loop runs on mini-batches of the support; None: on all of it every step."""

    # --------------------------------------------------------------------------------------------------- common to all

    def check(self, network: Network, params: Params) -> None:
        """Refuses a network the method cannot learn with, before any data are loaded. Raises ConfigError."""
        self.init(network, params, torch.zeros(sum(value.numel() for value in params.values())))

    def start(self, network: Network, params: Params, rates: Tensor) -> State:
        """The state of one replicate before its first meta-update."""
        return self.first_state(*self.init(network, params, rates))


def take_batches(episode: Episode, steps: int) -> Sequence[tuple[Tensor, Tensor]]:
    """The (x, y) of every inner step: the drawn mini-batches if the episode has any, else the whole support each time."""
    if episode.batches.numel() == 0:
        return [(episode.support_x, episode.support_y)] * steps
    return [(episode.support_x[index], episode.support_y[index]) for index in episode.batches.unbind(0)]

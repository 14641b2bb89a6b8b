"""The interface of a meta-learner under protocol `continual_meta`.

An algorithm is settings plus pure functions of explicit state, written for ONE replicate and ONE episode. The axes are added
from outside by `inner/engine.py`. It draws no random numbers, logs nothing and does not know the device.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Lt
from torch import Tensor

from metacl_run.algorithms.meta_learner import Meta, MetaLearner, MetaState, Update
from metacl_run.core.bounds import Examples, ExamplesFromZero, NoEffectWith, Positive
from metacl_run.core.errors import ConfigError
from metacl_run.core.types import Episode, Params, Pytree
from metacl_run.models.network import Network


@dataclass(frozen=True, kw_only=True)
class EpisodeLearner(MetaLearner):
    """A learner whose unit of work is a meta-update on a batch of few-shot episodes. Settings common to all:

    Attributes:
        replay: total number of classes of earlier tasks in the replay buffer, divided evenly among tasks; null: all classes of
            every task.
        replay_share: share of each meta-batch that comes from earlier tasks, once there are any; null: every episode's task is
            drawn uniformly from all tasks seen, the current one included (follow the meta leader).
        train_shots: support examples per class while meta-learning; null: data.shots.
        train_queries: query examples per class while meta-learning; null: data.queries.
    """

    replay: ExamplesFromZero | None
    replay_share: Annotated[Annotated[Positive, Lt(1)] | None, NoEffectWith("replay", (0,))]
    train_shots: Examples | None
    train_queries: ExamplesFromZero | None

    # ------------------------------------------------------------------------------------------- what a method defines

    @abc.abstractmethod
    def num_outputs(self, ways: int) -> int | None:
        """Outputs the network needs; None: features without a head."""

    @abc.abstractmethod
    def init(self, network: Network, params: Params, rates: Tensor) -> tuple[Meta, Pytree]:
        """Returns the initial (meta, carry) of one replicate.

        Args:
            network, params: with fresh parameters.
            rates: [number of parameters] uniform in [0, 1): learned rates start from them.

        Raises:
            ConfigError: the method cannot learn with this network.
        """

    @abc.abstractmethod
    def episode_update(self, network: Network, meta: Pytree, carry: Pytree, episode: Episode) -> Update:
        """Computes the contribution of one training episode."""

    @abc.abstractmethod
    def learn(self, network: Network, meta: Pytree, carry: Pytree, episode: Episode) -> Pytree:
        """Learns an evaluation episode's support set; returns the fast weights, or whatever `predict` needs."""

    def learn_by_step(self, network: Network, meta: Pytree, carry: Pytree, episode: Episode) -> Iterator[Pytree]:
        """Learns as `learn` does, and yields what `predict` needs after 0, 1 ... inner steps. Default: after all of them, for
        methods without inner steps."""
        yield self.learn(network, meta, carry, episode)

    @abc.abstractmethod
    def predict(self, network: Network, meta: Pytree, fast: Pytree, x: Tensor) -> Tensor:
        """Returns outputs [N, ways] for inputs [N, ...]; `fast` is from `learn`.

        The inputs pass through the network together, so that batch norm takes statistics over all of them. The protocol decides
        which inputs these are.
        """

    @abc.abstractmethod
    def inner_batches(self, support: int, training: bool) -> tuple[int, int] | None:
        """(inner steps, batch size) if the inner loop runs on mini-batches of the support set; None: every step takes all of
        it."""

    def training_ways(self, ways: int) -> int:
        """Returns the classes of a training episode, if evaluation has `ways`. Default: the same number."""
        return ways

    # --------------------------------------------------------------------------------------------------- common to all

    def check(self, network: Network, params: Params) -> None:
        """Refuses a network the method cannot learn with, before any data are loaded. Raises ConfigError."""
        self.start(network, params, torch.zeros(sum(value.numel() for value in params.values())))

    def start(self, network: Network, params: Params, rates: Tensor) -> MetaState:
        """Returns the state of one replicate before its first meta-update."""
        initial = self.init(network, params, rates)
        if not (isinstance(initial, tuple) and len(initial) == 2):
            raise ConfigError(
                f"algo: init of {type(self).__name__} must return (meta, carry); carry is {{}} where there is none"
            )
        return self.first_state(*initial)


class TaskDescriber(abc.ABC):
    """A learner under `continual_meta` whose fast state is one vector that says what the task is."""

    @abc.abstractmethod
    def task_vector(self, fast: Pytree) -> Tensor:
        """The vector [D]; `fast` is from `learn`."""

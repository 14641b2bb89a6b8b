"""The interface of a learner under protocol `osaka`: it predicts each batch, then learns from it, and does not know the tasks.

An algorithm is settings plus pure functions of explicit state, written for ONE replicate. The protocol predicts first, with the
state as it is, so that no method can see targets before it has predicted. A method draws no random numbers, logs nothing and
does not know the device; branches are `torch.where`, since replicates are computed side by side.

Shapes: B examples of a batch, E episodes.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, ClassVar, Literal, NamedTuple

from torch import Tensor

from metacl_run.algorithms.base_learner import BaseLearner
from metacl_run.algorithms.continual_meta.maml import Maml, RatesOf
from metacl_run.algorithms.meta_learner import MetaState
from metacl_run.core.bounds import CountFromZero, Examples, Momentum, NoEffectWith, Positive, StepsFromZero, added_setting
from metacl_run.core.types import Episode, Metrics, Params, Pytree
from metacl_run.inner.engine import Engine
from metacl_run.models.network import Network


class Observed(NamedTuple):
    """A batch of the stream, and random numbers, of one replicate."""

    x: Tensor
    """[B, ...] float."""
    y: Tensor
    """[B] int64 outputs, or [B, dimensions] float targets."""
    noise: Tensor
    """[N] standard normal numbers, as many as `count_noise` asks for."""

    @property
    def pair(self) -> tuple[Tensor, Tensor]:
        return self.x, self.y


@dataclass(frozen=True, kw_only=True)
class TaskFreeLearner(BaseLearner):
    """A learner of a stream whose tasks recur."""

    detects_switches: ClassVar[bool] = True
    """Whether it reports task switches that it detects."""
    waits: ClassVar[bool] = False
    """Whether some steps are followed by a separate update, `late_update`."""

    def count_pretraining(self) -> int:
        """Meta-updates of pre-training, on episodes of the first domain. Default: none."""
        return 0

    def count_noise(self, params: Params) -> int:
        """Standard normal numbers that it needs at every step. Default: none."""
        return 0

    @abc.abstractmethod
    def init(self, network: Network, params: Params, rates: Tensor, batch: Observed) -> Pytree:
        """Returns the state of one replicate before anything is learned, a nested dict of tensors.

        Args:
            network, params: with fresh parameters.
            rates: [number of parameters] uniform in [0, 1): learned rates start from them.
            batch: of the same shapes as all that will come; its values do not matter.

        Raises:
            ConfigError: the method cannot learn with this network.
        """

    def count_episodes(self) -> int:
        """E, episodes of a meta-update of pre-training. Default: none."""
        return 0

    def pretrain(self, network: Network, engine: Engine, state: Pytree, episodes: Episode) -> tuple[Pytree, Metrics]:
        """One meta-update of pre-training on `episodes` [E, ...]."""
        raise NotImplementedError(f"{type(self).__name__} has no pre-training")

    @abc.abstractmethod
    def begin(self, network: Network, state: Pytree) -> Pytree:
        """The state at the first step of the stream, once pre-training is over."""

    @abc.abstractmethod
    def weights(self, network: Network, state: Pytree) -> Params:
        """The parameters that the next batch is predicted with."""

    def predict(self, network: Network, state: Pytree, x: Tensor) -> Tensor:
        """Returns outputs [B, outputs]."""
        return network(self.weights(network, state), x)

    @abc.abstractmethod
    def observe(self, network: Network, state: Pytree, batch: Observed) -> tuple[Pytree, Tensor]:
        """Learns from a batch that was just predicted.

        Returns:
            the new state, and 1.0 if it detects that this batch is the first of another task, else 0.0.
        """

    def is_due(self, state: Pytree) -> Tensor:
        """bool, whether `late_update` is to follow; of methods with `waits`."""
        raise NotImplementedError(f"{type(self).__name__} makes all updates at once")

    def late_update(self, network: Network, engine: Engine, state: Pytree) -> Pytree:
        """The state after an update that only some steps need: it is called for one replicate at a time."""
        raise NotImplementedError(f"{type(self).__name__} makes all updates at once")


@dataclass(frozen=True, kw_only=True)
class MamlStart(TaskFreeLearner):
    """A learner that starts from an initialisation, which MAML can meta-learn before the stream.

    Attributes:
        pretrain_updates: meta-updates on episodes of the first domain before the stream; 0: none.
        meta_batch_size: episodes in a meta-update of pre-training.
        outer_lr, outer_optimizer, outer_momentum, clip_norm: settings of the outer loop, in pre-training and in the stream; the
            stream starts with a new optimiser.
        inner_lr: rate of the inner loop for a mean loss; null: rates of plastic parameters are learned.
        inner_steps: gradient steps of an episode of pre-training.
        stream_inner_steps: gradient steps on a batch of the stream.
        first_order: drop second derivatives.
        plastic: the parameters that adapt, "all" or "head".
        rate_low, rate_high: start values of learned rates are drawn uniformly from this range; null if none are learned.
        rates_of: what a learned rate is of: each of the parameters' elements, or each of their tensors.
    """

    pretrain_updates: CountFromZero
    meta_batch_size: Annotated[Examples, NoEffectWith("pretrain_updates", (0,))]
    outer_lr: Positive
    outer_optimizer: Literal["adam", "sgd"]
    outer_momentum: Momentum
    clip_norm: Positive | None
    inner_lr: Positive | None
    inner_steps: Annotated[StepsFromZero, NoEffectWith("pretrain_updates", (0,))]
    stream_inner_steps: StepsFromZero
    first_order: bool
    plastic: Literal["all", "head"]
    rate_low: float | None
    rate_high: float | None
    rates_of: RatesOf = field(metadata=added_setting("learns_rates_of_tensors", off="elements"))

    @property
    def learns_rates_of_tensors(self) -> bool:
        return self.stream_maml.learns_rates_of_tensors

    def __post_init__(self) -> None:
        assert self.stream_maml is not None  # its settings are checked

    def _maml(self, steps: int) -> Maml:
        return Maml(
            meta_batch_size=self.meta_batch_size,
            outer_lr=self.outer_lr,
            outer_optimizer=self.outer_optimizer,
            outer_momentum=self.outer_momentum,
            outer_schedule="constant",
            clip_norm=self.clip_norm,
            clip_value=None,
            replay=0,
            replay_share=None,
            train_shots=None,
            train_queries=None,
            inner_lr=self.inner_lr,
            inner_steps=steps,
            eval_inner_steps=steps,
            first_order=self.first_order,
            plastic=self.plastic,
            step_rates=False,
            multi_step_updates=0,
            first_order_updates=0,
            rate_low=self.rate_low,
            rate_high=self.rate_high,
            rates_of=self.rates_of,
        )

    @cached_property
    def pretraining_maml(self) -> Maml:
        """MAML with the inner loop of pre-training."""
        return self._maml(self.inner_steps)

    @cached_property
    def stream_maml(self) -> Maml:
        """MAML with the inner loop of the stream."""
        return self._maml(self.stream_inner_steps)

    def learned_params(self, state: Pytree) -> Params:
        """The initialisation."""
        initial: Params = state["slow"]["meta"]["params"]
        return initial

    def count_pretraining(self) -> int:
        return self.pretrain_updates

    def count_episodes(self) -> int:
        return self.meta_batch_size

    def pretrain(self, network: Network, engine: Engine, state: Pytree, episodes: Episode) -> tuple[Pytree, Metrics]:
        slow, metrics = self.pretraining_maml.meta_update(network, engine, self.pretrain_updates, state["slow"], episodes)
        return {**state, "slow": slow}, metrics

    def adapted(self, network: Network, slow: MetaState, pair: tuple[Tensor, Tensor], start: Params | None = None) -> Params:
        """Fast weights after the inner loop of the stream on a batch, from `start`; None: from the initialisation."""
        meta = slow["meta"] if start is None else {**slow["meta"], "params": start}
        fast: Params = self.stream_maml.learn(network, meta, slow["carry"], _support(pair))
        return fast

    def fresh_slow(self, slow: MetaState) -> MetaState:
        """Returns the same initialisation with a new outer optimiser."""
        return self.stream_maml.first_state(slow["meta"], slow["carry"])


def _support(pair: tuple[Tensor, Tensor]) -> Episode:
    x, y = pair
    return Episode.of_sets(pair, (x[:0], y[:0]))

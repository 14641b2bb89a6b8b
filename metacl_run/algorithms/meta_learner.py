"""The outer loop, the same for every meta-learner: its settings, and how a batch of episodes updates the meta-learned
parameters."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypedDict

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from metacl_run.algorithms.base_learner import BaseLearner
from metacl_run.core.bounds import Examples, Momentum, Positive
from metacl_run.core.errors import ConfigError
from metacl_run.core.types import Metrics, Params, Pytree
from metacl_run.inner.engine import Engine
from metacl_run.inner.optimizers import Adam, Optimizer, Schedule, Sgd, clipped_update, scheduled
from metacl_run.models.network import Network


class Meta(TypedDict):
    """The meta-learned parameters; all of them receive the outer update. Some methods add more, e.g. learned rates."""

    params: Params
    """Of the network."""


class MetaState(TypedDict):
    """The state of one replicate of a meta-learner. A plain dict of tensors: a checkpoint may hold nothing else."""

    meta: Meta
    carry: Pytree
    """What passes from one meta-update to the next without a gradient: the moments of the inner optimiser, or {}."""
    optimizer: Pytree
    """The outer optimiser's state."""
    unit: Tensor
    """Number of meta-updates done, float64."""


class Update(NamedTuple):
    """The contribution of one episode to a meta-update. The meta-update takes the mean of every tensor over episodes."""

    direction: Pytree
    """Shaped like state["meta"]: the outer optimiser goes against it. A meta-gradient, or Reptile's displacement."""
    carry: Pytree
    """Shaped like state["carry"]."""
    metrics: Metrics
    """On the query set (or as the algorithm says): "loss" and the objective's score under its name."""


OUTER_LOOP = ("meta_batch_size", "outer_lr", "outer_optimizer", "outer_momentum", "outer_schedule", "clip_norm", "clip_value")
"""The settings of `MetaLearner`: a method without meta-updates does not use them."""


@dataclass(frozen=True, kw_only=True)
class MetaLearner(BaseLearner):
    """A learner whose unit of work is a meta-update on a batch of episodes, which are few-shot episodes or trajectories.

    Attributes:
        meta_batch_size: episodes in a meta-update.
        outer_lr: rate of the outer optimiser (for Reptile: the step size epsilon).
        outer_optimizer: "adam" or "sgd".
        outer_momentum: momentum of "sgd"; beta1 of "adam".
        outer_schedule: how outer_lr falls over all meta-updates of the run: "constant", "linear" to 0, "cosine" to 0.
        clip_norm: largest global norm of the outer gradient; null: no limit.
        clip_value: largest absolute value of an element of the outer gradient, clipped before the norm (MAML: 10 on
            miniImageNet); null: no limit.
    """

    meta_batch_size: Examples
    outer_lr: Positive
    outer_optimizer: Literal["adam", "sgd"]
    outer_momentum: Momentum
    outer_schedule: Schedule
    clip_norm: Positive | None
    clip_value: Positive | None

    def learned_params(self, state: MetaState) -> Params:
        return state["meta"]["params"]

    @abc.abstractmethod
    def episode_update(self, network: Network, meta: Pytree, carry: Pytree, episode: Pytree) -> Update:
        """Computes the contribution of one training episode."""

    def meta_update(
        self, network: Network, engine: Engine, total_units: int, state: MetaState, episodes: Pytree
    ) -> tuple[MetaState, Metrics]:
        """Does one meta-update of one replicate on `episodes` [E, ...]: an outer step against their mean direction, clipped."""
        mean = self.mean_update(network, engine, state, episodes)
        return self.outer_step(total_units, state, mean), mean.metrics

    def mean_update(self, network: Network, engine: Engine, state: MetaState, episodes: Pytree) -> Update:
        """The mean contribution of `episodes` [E, ...]."""
        meta, carry = state["meta"], state["carry"]
        mean: Update = engine.mean(lambda episode: self.episode_update(network, meta, carry, episode), episodes)
        return mean

    def outer_step(self, total_units: int, state: MetaState, mean: Update) -> MetaState:
        """The state after a step of the outer optimiser against a mean direction, clipped."""
        meta = state["meta"]
        leaf = next(iter(meta["params"].values()))
        rate = scheduled(self.outer_lr, self.outer_schedule, state["unit"], total_units).to(leaf.dtype)
        moved, optimizer = clipped_update(
            self.outer, mean.direction, state["optimizer"], meta, rate, norm=self.clip_norm, value=self.clip_value
        )
        return MetaState(meta=moved, carry=mean.carry, optimizer=optimizer, unit=state["unit"] + 1)

    def returned(self, best: MetaState, last: MetaState) -> MetaState:
        """Returns an earlier, better state in place of the last one. Schedules continue from the number of meta-updates
        done."""
        return {**best, "unit": last["unit"]}

    @property
    def outer(self) -> Optimizer:
        """The outer optimiser."""
        if self.outer_optimizer == "adam":
            return Adam(beta1=self.outer_momentum)
        return Sgd(momentum=self.outer_momentum)

    def first_state(self, meta: Meta, carry: Pytree) -> MetaState:
        """Returns the state of one replicate before its first meta-update. Raises ConfigError for no `Meta`."""
        if not (isinstance(meta, dict) and isinstance(meta.get("params"), dict)):
            raise ConfigError(
                f'algo: init of {type(self).__name__} must return what is meta-learned as a dict with the key "params", the '
                "parameters of the network"
            )
        unit = torch.zeros((), dtype=torch.float64, device=tree_leaves(meta)[0].device)
        return MetaState(meta=meta, carry=carry, optimizer=self.outer.init(meta), unit=unit)


def metrics_of(network: Network, loss: Tensor, outputs: Tensor, y: Tensor) -> Metrics:
    """Returns the metrics of an `Update`: a loss, and the score of the outputs that it was taken on."""
    return {"loss": loss, network.objective.score_name: network.objective.score(outputs, y)}

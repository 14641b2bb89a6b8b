"""The interface of a meta-learner under protocol `continual_meta`, the outer update, and what every learner can be told.

An algorithm is settings plus pure functions of explicit state, written for ONE replicate and ONE episode. The axes are added
from outside by `inner/engine.py`. It draws no random numbers, logs nothing and does not know the device.

State of one replicate, a pytree of tensors:
    meta        what is meta-learned and receives an outer update: {"params": {...}} and, for some, {"rates": {...}}
    carry       what goes on from one meta-update to the next without a gradient: the inner optimiser's moments, or nothing
    optimizer   the outer optimiser's state
    unit        number of meta-updates done
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from metacl_run.errors import require
from metacl_run.inner.engine import Engine
from metacl_run.inner.optimizers import Adam, Optimizer, Schedule, Sgd, clip, scheduled
from metacl_run.models.base import Network
from metacl_run.types import Episode, Params, Pytree

State: TypeAlias = dict[str, Pytree]


class Update(NamedTuple):
    """What one episode contributes to a meta-update; the mean over episodes is taken of every tensor in it."""

    direction: Pytree
    """Shaped like state["meta"]: the outer optimiser goes against it. A meta-gradient, or Reptile's displacement."""
    carry: Pytree
    """Shaped like state["carry"]."""
    metrics: dict[str, Tensor]
    """Scalars on the query set (or as the algorithm says): "loss" and the objective's score under its name."""


@dataclass(frozen=True, kw_only=True)
class EpisodeLearner(abc.ABC):
    """A learner whose unit of work is a meta-update on a batch of episodes. These fields are common to all.

    Attributes:
        meta_batch_size: episodes in a meta-update.
        outer_lr: rate of the outer optimiser (for Reptile: the step size epsilon).
        outer_optimizer: "adam" or "sgd".
        outer_momentum: momentum of "sgd"; beta1 of "adam".
        outer_schedule: how outer_lr falls over all meta-updates of the run: "constant", "linear" to 0, "cosine" to 0.
        clip_norm: largest global norm of the outer gradient; null: no limit.
        clip_value: first clips each element of the outer gradient to +-clip_value (MAML: 10 on miniImageNet); null: not.
        replay: classes of earlier tasks remembered, in all, shared out evenly among them; null: all classes of every task.
        replay_share: share of each meta-batch drawn from memory once there is one; null: every episode's task is drawn
            uniformly from all tasks seen, the current one included (follow the meta leader).
        train_shots: examples per class an episode adapts to while meta-learning; null: data.shots.
        train_queries: query examples per class while meta-learning; null: data.queries.
    """

    meta_batch_size: int
    outer_lr: float
    outer_optimizer: Literal["adam", "sgd"]
    outer_momentum: float
    outer_schedule: Schedule
    clip_norm: float | None
    clip_value: float | None
    replay: int | None
    replay_share: float | None
    train_shots: int | None
    train_queries: int | None

    def __post_init__(self) -> None:
        require(self.meta_batch_size >= 1, "meta_batch_size", self.meta_batch_size, "must be at least 1")
        require(self.outer_lr > 0, "outer_lr", self.outer_lr, "must be greater than 0")
        require(0 <= self.outer_momentum < 1, "outer_momentum", self.outer_momentum, "must be in [0, 1)")
        for name in ("clip_norm", "clip_value"):
            value = getattr(self, name)
            require(value is None or value > 0, name, value, "must be greater than 0, or null for no limit")
        require(self.replay is None or self.replay >= 0, "replay", self.replay, "must be at least 0, or null for everything")
        share = self.replay_share
        require(
            share is None or 0 < share < 1,
            "replay_share",
            share,
            "must be between 0 and 1, or null for uniform over tasks",
        )
        for name, least in (("train_shots", 1), ("train_queries", 0)):
            value = getattr(self, name)
            require(value is None or value >= least, name, value, f"must be at least {least}, or null for the data's own")

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
    def predict(self, network: Network, meta: Pytree, carry: Pytree, episode: Episode, transductive: bool) -> Tensor:
        """Outputs [Q, ways] for the query set after adapting to the support set.

        With `transductive` the query set passes in one batch, whose statistics normalise it (Finn et al. 2017);
        without, each query example on its own together with the support set (Nichol et al. 2018, section 6.1).
        """

    @abc.abstractmethod
    def inner_batches(self, support: int, training: bool) -> tuple[int, int] | None:
        """(inner steps, batch) when the inner loop runs on mini-batches of the support; None: on all of it every step."""

    # --------------------------------------------------------------------------------------------------- common to all

    @property
    def outer(self) -> Optimizer:
        if self.outer_optimizer == "adam":
            return Adam(beta1=self.outer_momentum)
        return Sgd(momentum=self.outer_momentum)

    def check(self, network: Network, params: Params) -> None:
        """Refuses a network the method cannot learn with, before any data are loaded. Raises ConfigError."""
        self.init(network, params, torch.zeros(sum(value.numel() for value in params.values())))

    def start(self, network: Network, params: Params, rates: Tensor) -> State:
        """The state of one replicate before its first meta-update."""
        meta, carry = self.init(network, params, rates)
        unit = torch.zeros((), dtype=torch.float64)
        return {"meta": meta, "carry": carry, "optimizer": self.outer.init(meta), "unit": unit}

    def meta_update(
        self, network: Network, engine: Engine, total_units: int, state: State, episodes: Episode
    ) -> tuple[State, dict[str, Tensor]]:
        """One meta-update of one replicate on `episodes` [E, ...]: their mean direction, clipped, to the outer optimiser."""
        meta, carry = state["meta"], state["carry"]
        mean: Update = engine.mean(lambda episode: self.episode_update(network, meta, carry, episode), episodes)
        gradient = clip(mean.direction, norm=self.clip_norm, value=self.clip_value)
        leaf = next(iter(meta["params"].values()))
        rate = scheduled(self.outer_lr, self.outer_schedule, state["unit"], total_units).to(leaf.dtype)
        meta, optimizer = self.outer.update(gradient, state["optimizer"], meta, rate)
        return {"meta": meta, "carry": mean.carry, "optimizer": optimizer, "unit": state["unit"] + 1}, mean.metrics


def metrics_of(network: Network, loss: Tensor, outputs: Tensor, y: Tensor) -> dict[str, Tensor]:
    """The metrics of an `Update`: a loss, and the score of the outputs it came from."""
    return {"loss": loss, network.objective.score_name: network.objective.score(outputs, y)}


def query_outputs(network: Network, params: Params, episode: Episode, transductive: bool) -> Tensor:
    """Outputs [Q, ways] for the query set under adapted parameters; see `EpisodeLearner.predict` for `transductive`."""
    if transductive:
        return network(params, episode.query_x)
    return alone_with_support(lambda x: network(params, x), episode)


def alone_with_support(network: object, episode: Episode) -> Tensor:
    """Outputs [Q, ...] of each query example passed together with the support set only."""

    def one(query: Tensor) -> Tensor:
        return network(torch.cat([episode.support_x, query.unsqueeze(0)]))[-1]  # type: ignore[operator]

    return torch.vmap(one)(episode.query_x)


def take_batches(episode: Episode, steps: int) -> Sequence[tuple[Tensor, Tensor]]:
    """The (x, y) of every inner step: the drawn mini-batches if the episode has any, else the whole support each time."""
    if episode.batches.numel() == 0:
        return [(episode.support_x, episode.support_y)] * steps
    return [(episode.support_x[index], episode.support_y[index]) for index in episode.batches.unbind(0)]

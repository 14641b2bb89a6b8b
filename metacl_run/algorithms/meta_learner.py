"""What learners with an outer loop share: the outer optimiser, its settings, and the update on a batch of episodes.

State of one replicate, a pytree of tensors:
    meta        what is meta-learned and receives an outer update: {"params": {...}} and, for some, {"rates": {...}} or more
    carry       what goes on from one meta-update to the next without a gradient: the inner optimiser's moments, or nothing
    optimizer   the outer optimiser's state
    unit        number of meta-updates done
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from metacl_run.core.bounds import Examples, Momentum, Positive
from metacl_run.core.types import Pytree
from metacl_run.inner.engine import Engine
from metacl_run.inner.optimizers import Adam, Optimizer, Schedule, Sgd, clip, scheduled
from metacl_run.models.base import Network

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
class MetaLearner(abc.ABC):
    """A learner whose unit of work is a meta-update on a batch of episodes, whatever an episode is.

    Attributes:
        meta_batch_size: episodes in a meta-update.
        outer_lr: rate of the outer optimiser (for Reptile: the step size epsilon).
        outer_optimizer: "adam" or "sgd".
        outer_momentum: momentum of "sgd"; beta1 of "adam".
        outer_schedule: how outer_lr falls over all meta-updates of the run: "constant", "linear" to 0, "cosine" to 0.
        clip_norm: largest global norm of the outer gradient; null: no limit.
        clip_value: first clips each element of the outer gradient to +-clip_value (MAML: 10 on miniImageNet); null: not.
    """

    meta_batch_size: Examples
    outer_lr: Positive
    outer_optimizer: Literal["adam", "sgd"]
    outer_momentum: Momentum
    outer_schedule: Schedule
    clip_norm: Positive | None
    clip_value: Positive | None

    @abc.abstractmethod
    def episode_update(self, network: Network, meta: Pytree, carry: Pytree, episode: Pytree) -> Update:
        """What one training episode contributes."""

    @property
    def outer(self) -> Optimizer:
        if self.outer_optimizer == "adam":
            return Adam(beta1=self.outer_momentum)
        return Sgd(momentum=self.outer_momentum)

    def first_state(self, meta: Pytree, carry: Pytree) -> State:
        """The state of one replicate before its first meta-update."""
        unit = torch.zeros((), dtype=torch.float64)
        return {"meta": meta, "carry": carry, "optimizer": self.outer.init(meta), "unit": unit}

    def meta_update(
        self, network: Network, engine: Engine, total_units: int, state: State, episodes: Pytree
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

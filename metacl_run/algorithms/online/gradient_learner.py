"""Learners under `online` that take one optimiser step for each gradient: the settings and the step that they share.

With plain SGD, the state has only the parameters. Otherwise velocities or Adam's moments are part of it, and are kept from one
task to the next.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeVar, cast

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from metacl_run.algorithms.online.stream_learner import StreamLearner, StreamState
from metacl_run.core.bounds import Momentum, NonNegative, Positive
from metacl_run.core.errors import Check, require_all
from metacl_run.core.types import Params, Pytree
from metacl_run.inner.optimizers import Optimizer, clipped_update, descend, optimizer_of


class GradientState(StreamState, total=False):
    """The parameters, and the state of the optimiser."""

    optimizer: Pytree
    """Velocities with momentum, Adam's moments; absent with plain SGD."""


State = TypeVar("State", bound=GradientState)


@dataclass(frozen=True, kw_only=True)
class GradientLearner(StreamLearner[State]):
    """A learner whose parameters follow gradients. Settings:

    Attributes:
        lr: learning rate.
        optimizer: "sgd", or "adam" (Kingma and Ba, arXiv 1412.6980) with its usual moments.
        momentum: momentum of SGD, as in torch.optim.SGD; 0: plain SGD.
        clip_norm: largest norm of the gradient of a step, after a method's own correction of the gradient; null: no limit.
        weight_decay: this share of each parameter is added to its gradient, after clipping, as in torch.optim.SGD and Adam.
    """

    lr: Positive
    optimizer: Literal["sgd", "adam"]
    momentum: Momentum
    clip_norm: Positive | None
    weight_decay: NonNegative = field(metadata={"identity": "weight_decay"})

    def __post_init__(self) -> None:
        require_all(self.momentum_fits())

    def momentum_fits(self) -> Check:
        fits = self.momentum == 0 or self.optimizer == "sgd"
        return fits, "momentum", self.momentum, "must be 0 with optimizer=adam, which has moments of its own"

    @property
    def plain_sgd(self) -> bool:
        """Whether a step is minus the rate times the gradient."""
        return self._keeps_nothing and self.clip_norm is None and self.weight_decay == 0

    @property
    def _keeps_nothing(self) -> bool:
        """Whether the optimiser goes on from the parameters alone."""
        return self.optimizer == "sgd" and self.momentum == 0

    @property
    def _optimizer(self) -> Optimizer:
        return optimizer_of(self.optimizer, self.momentum)

    def start(self, params: Params) -> GradientState:
        """The part of a state that the optimiser needs, before the first step."""
        return {"params": params} if self._keeps_nothing else {"params": params, "optimizer": self._optimizer.init(params)}

    def step(self, gradient: Params, state: State) -> State:
        """Returns the state after a step; other entries of the state do not change."""
        if self.plain_sgd:
            moved: GradientState = {"params": descend(gradient, state["params"], self.lr)}
        else:
            before = state.get("optimizer", {}), state["params"]
            params, moments = clipped_update(
                self._optimizer, gradient, *before, self.lr, norm=self.clip_norm, value=None, decay=self.weight_decay
            )
            moved = {"params": params} if self._keeps_nothing else {"params": params, "optimizer": moments}
        return cast(State, {**state, **moved})


def with_penalty(gradient: Params, params: Params, reference: Params, importance: Params, strength: float) -> Params:
    """Returns the gradient of loss + strength * sum of importance * (theta - reference)^2, given that of the loss."""

    def pulled(g: Tensor, p: Tensor, importance: Tensor, reference: Tensor) -> Tensor:
        return torch.addcmul(g, importance, p - reference, value=2 * strength)

    return tree_map(pulled, gradient, params, importance, reference)  # type: ignore[no-any-return]

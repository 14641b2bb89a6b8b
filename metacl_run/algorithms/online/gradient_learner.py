"""Learners under `online` that take one optimiser step for each gradient: the settings and the step that they share.

With plain SGD, the state has only the parameters. Otherwise velocities or Adam's moments are part of it, and are kept from one
task to the next.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeVar, cast

import torch
from annotated_types import Lt, MaxLen, MinLen
from torch import Tensor
from torch.utils._pytree import tree_map

from metacl_run.algorithms.online.stream_learner import StreamLearner, StreamState
from metacl_run.core.bounds import Momentum, NoEffectWith, NonNegative, Positive, added_setting
from metacl_run.core.errors import Check, ConfigError, require_all, shown
from metacl_run.core.types import Observation, Params, Pytree
from metacl_run.inner.optimizers import Optimizer, clipped_update, descend, falling, optimizer_of


class GradientState(StreamState, total=False):
    """The parameters, and the state of the optimiser."""

    optimizer: Pytree
    """Velocities with momentum, Adam's moments; absent with plain SGD."""


State = TypeVar("State", bound=GradientState)
Share = Annotated[Positive, Lt(1)]
WITHOUT_STEPS = NoEffectWith("lr_schedule", ("constant", "linear", "cosine"))


@dataclass(frozen=True, kw_only=True)
class GradientLearner(StreamLearner[State]):
    """A learner whose parameters follow gradients. Settings:

    Attributes:
        lr: learning rate.
        optimizer: "sgd", or "adam" (Kingma and Ba, arXiv 1412.6980) with its usual moments.
        momentum: momentum of SGD, as in torch.optim.SGD; 0: plain SGD.
        clip_norm: largest norm of the gradient of a step, after a method's own correction of the gradient; null: no limit.
        weight_decay: this share of each parameter is added to its gradient, after clipping, as in torch.optim.SGD and Adam.
        lr_schedule: how lr changes over the observations of a task, all passes together; it begins anew with every task.
            "linear", "cosine": to 0, as `inner.optimizers.falling` has it; "steps": it falls at `lr_drops`.
        lr_drops: the shares of a task's observations after which lr falls, in rising order.
        lr_drop_factor: lr is multiplied by it at each of `lr_drops`.
    """

    lr: Positive
    optimizer: Literal["sgd", "adam"]
    momentum: Momentum
    clip_norm: Positive | None
    weight_decay: NonNegative = field(metadata=added_setting("weight_decay", off=0.0))
    lr_schedule: Literal["constant", "linear", "cosine", "steps"] = field(metadata=added_setting("lr_falls", off="constant"))
    lr_drops: Annotated[list[Share], MinLen(1), MaxLen(100), WITHOUT_STEPS] = field(
        metadata=added_setting("lr_falls_in_steps", off=[0.7, 0.9])
    )
    lr_drop_factor: Annotated[Share, WITHOUT_STEPS] = field(metadata=added_setting("lr_falls_in_steps", off=0.2))

    def __post_init__(self) -> None:
        require_all(*self.steps_fit())

    def steps_fit(self) -> tuple[Check, ...]:
        """The checks of these settings against each other, for `require_all`."""
        rises = sorted(set(self.lr_drops)) == self.lr_drops
        return self.momentum_fits(), (rises, "lr_drops", self.lr_drops, "must rise from share to share")

    def momentum_fits(self) -> Check:
        fits = self.momentum == 0 or self.optimizer == "sgd"
        return fits, "momentum", self.momentum, "must be 0 with optimizer=adam, which has moments of its own"

    @property
    def lr_falls(self) -> bool:
        """Whether a step needs to know how much of its task is over."""
        return self.lr_schedule != "constant"

    @property
    def lr_falls_in_steps(self) -> bool:
        return self.lr_schedule == "steps"

    @property
    def needs_share(self) -> bool:
        return self.lr_falls

    @property
    def last_lr(self) -> float:
        """The rate after all of a task; 0 where it falls to 0."""
        if self.lr_falls and not self.lr_falls_in_steps:
            return 0.0
        return self.lr * self.lr_drop_factor ** len(self.lr_drops) if self.lr_falls_in_steps else self.lr

    def lr_at(self, observed: Observation) -> float | Tensor:
        """The rate of the steps of an observation: `lr`, or [] float64 where it falls.

        Raises:
            ConfigError: it falls, and the observation has no share.
        """
        if not self.lr_falls:
            return self.lr
        if observed.share.ndim > 0:
            raise self._cannot_fall("learns from observations without `share`; is its `needs_share` true?")
        if self.lr_schedule == "linear" or self.lr_schedule == "cosine":
            return falling(self.lr, self.lr_schedule, observed.share)
        rate = torch.full_like(observed.share, self.lr)
        for drop in self.lr_drops:
            rate = torch.where(observed.share >= drop, rate * self.lr_drop_factor, rate)
        return rate

    def _cannot_fall(self, reason: str) -> ConfigError:
        return ConfigError(f"algo.lr_schedule={shown(self.lr_schedule)}: must be constant: {type(self).__name__} {reason}")

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

    def step(self, gradient: Params, state: State, rate: float | Tensor | None = None) -> State:
        """Takes a step.

        Args:
            gradient: of the parameters.
            state: before the step.
            rate: `lr_at(observed)`; None: `lr`, which must not fall.

        Returns:
            the state after it; entries that are not of the optimiser do not change.

        Raises:
            ConfigError: the rate falls and is not passed.
        """
        if rate is None:
            if self.lr_falls:
                raise self._cannot_fall("steps without a rate; in its code, self.step(gradient, state, self.lr_at(observed))")
            rate = self.lr
        if self.plain_sgd:
            moved: GradientState = {"params": descend(gradient, state["params"], rate)}
        else:
            before = state.get("optimizer", {}), state["params"]
            params, moments = clipped_update(
                self._optimizer, gradient, *before, rate, norm=self.clip_norm, value=None, decay=self.weight_decay
            )
            moved = {"params": params} if self._keeps_nothing else {"params": params, "optimizer": moments}
        return cast(State, {**state, **moved})


def with_penalty(gradient: Params, params: Params, reference: Params, importance: Params, strength: float) -> Params:
    """Returns the gradient of loss + strength * sum of importance * (theta - reference)^2, given that of the loss."""

    def pulled(g: Tensor, p: Tensor, importance: Tensor, reference: Tensor) -> Tensor:
        return torch.addcmul(g, importance, p - reference, value=2 * strength)

    return tree_map(pulled, gradient, params, importance, reference)  # type: ignore[no-any-return]

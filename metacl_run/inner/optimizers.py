"""SGD and Adam as pure functions of explicit state: differentiable for the inner loop, and the outer optimiser.

They give the numbers of `torch.optim`, which cannot be differentiated through nor mapped over replicates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from metacl_run.core.types import Params, Pytree
from metacl_run.inner.flat import update_with_few_launches

Schedule: TypeAlias = Literal["constant", "linear", "cosine"]


Rate: TypeAlias = float | Tensor | Params
"""One rate, or a dict with a rate for every element of every parameter (Meta-SGD, La-MAML)."""


def descend(gradient: Pytree, params: Pytree, rate: Rate) -> Pytree:
    """params - rate * gradient: one step of plain SGD."""
    if isinstance(rate, dict):
        return tree_map(lambda g, p, r: torch.addcmul(p, g, r, value=-1), gradient, params, rate)
    if isinstance(rate, Tensor):
        return tree_map(lambda g, p: torch.addcmul(p, g, rate.to(p.dtype), value=-1), gradient, params)
    return tree_map(lambda g, p: torch.add(p, g, alpha=-rate), gradient, params)


@dataclass(frozen=True, kw_only=True)
class Sgd:
    """w <- w - rate * v, with v the gradient or, with momentum, v <- momentum * v + gradient (Polyak's, as torch.optim.SGD).

    With `clip_value` every element of the gradient is first clipped to [-clip_value, clip_value].
    """

    momentum: float = 0.0
    clip_value: float | None = None

    def init(self, params: Pytree) -> Pytree:
        return {"velocity": tree_map(torch.zeros_like, params)} if self.momentum else {}

    def update(self, gradient: Pytree, state: Pytree, params: Pytree, rate: Rate) -> tuple[Pytree, Pytree]:
        gradient = clip(gradient, norm=None, value=self.clip_value)
        if self.momentum:
            gradient = tree_map(lambda v, g: self.momentum * v + g, state["velocity"], gradient)
            state = {"velocity": gradient}
        return descend(gradient, params, rate), state


@dataclass(frozen=True, kw_only=True)
class Adam:
    """Adam (Kingma and Ba, arXiv 1412.6980, algorithm 1). beta1 = 0 is the RMSProp-like inner optimiser of Reptile."""

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def init(self, params: Pytree) -> Pytree:
        device = tree_leaves(params)[0].device
        steps = torch.zeros((), dtype=torch.float64, device=device)
        state = {"square": tree_map(torch.zeros_like, params), "steps": steps}
        if self.beta1:
            state["mean"] = tree_map(torch.zeros_like, params)
        return state

    def update(self, gradient: Pytree, state: Pytree, params: Pytree, rate: Rate) -> tuple[Pytree, Pytree]:
        steps = state["steps"] + 1
        square = tree_map(lambda s, g: torch.addcmul(self.beta2 * s, g, g, value=1 - self.beta2), state["square"], gradient)
        new = {"square": square, "steps": steps}
        mean = gradient
        if self.beta1:
            mean = new["mean"] = tree_map(lambda m, g: torch.lerp(m, g, 1 - self.beta1), state["mean"], gradient)
        first, second = 1 - self.beta1**steps, (1 - self.beta2**steps).sqrt()  # corrections of the bias towards 0
        # (m / first) / (sqrt(s) / second + eps), with the corrections applied where they cost no pass over memory
        direction = tree_map(lambda m, s: m / (s.sqrt() + (self.eps * second).to(s.dtype)), mean, square)
        scale = second / first
        rates = tree_map(lambda p, r: (scale * r).to(p.dtype), params, rate) if isinstance(rate, dict) else scale * rate
        return descend(direction, params, rates), new


Optimizer: TypeAlias = Sgd | Adam


def optimizer_of(name: Literal["sgd", "adam"], momentum: float) -> Optimizer:
    """Returns Adam with its usual moments, or SGD with a momentum."""
    return Adam() if name == "adam" else Sgd(momentum=momentum)


def clipped_update(
    optimizer: Optimizer,
    gradient: Pytree,
    state: Pytree,
    params: Pytree,
    rate: float | Tensor,
    *,
    norm: float | None,
    value: float | None,
    decay: float = 0.0,
) -> tuple[Pytree, Pytree]:
    """Clips a gradient and takes a step of the optimiser. On a card all parameters are one tensor, to launch little.

    Args:
        optimizer: takes the step.
        gradient, params: trees of the same shape.
        state: the optimiser's.
        rate: one for all parameters.
        norm, value: see `clip`.
        decay: this share of the parameters is added to the clipped gradient, as weight_decay in torch.optim.SGD and Adam.

    Returns:
        the new parameters and the optimiser's new state.
    """

    def update(gradient: Pytree, state: Pytree, params: Pytree) -> tuple[Pytree, Pytree]:
        direction = clip(gradient, norm=norm, value=value)
        if decay:
            direction = tree_map(lambda g, p: torch.add(g, p, alpha=decay), direction, params)
        return optimizer.update(direction, state, params, rate)

    return update_with_few_launches(update, gradient, state, params)


def scheduled(rate: float, schedule: Schedule, unit: Tensor, total: int) -> Tensor:
    """Returns the rate for update number `unit` (0-based) of `total`: constant, falling linearly to 0, or as a half cosine."""
    done = unit / max(total, 1)
    if schedule == "constant":
        return torch.full_like(done, rate)
    return falling(rate, schedule, done)


def falling(rate: float, schedule: Literal["linear", "cosine"], done: Tensor) -> Tensor:
    """Returns the rate when a share `done` of all updates is over: falling linearly to 0, or as a half cosine."""
    return rate * (1 - done if schedule == "linear" else 0.5 * (1 + torch.cos(math.pi * done)))


def clip(gradient: Pytree, *, norm: float | None, value: float | None) -> Pytree:
    """Clips every element to [-value, value], then the global norm to `norm`; None leaves that step out."""
    if value is not None:
        gradient = tree_map(lambda g: g.clamp(-value, value), gradient)
    if norm is not None:
        leaves: list[Tensor] = []
        tree_map(leaves.append, gradient)
        squares = [g.square().sum() for g in leaves]
        total = squares[0] if len(leaves) == 1 else torch.stack(squares).sum()
        factor = (norm / (total.sqrt() + 1e-6)).clamp(max=1.0)
        gradient = tree_map(lambda g: g * factor, gradient)
    return gradient

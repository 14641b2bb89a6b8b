"""SGD and Adam as pure functions of explicit state, usable inside a differentiated inner loop and as the outer optimiser.

Same numbers as `torch.optim`, which cannot be differentiated through or mapped over replicates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from metacl_run.core.types import Pytree

Schedule = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True, kw_only=True)
class Sgd:
    """w <- w - rate * v, with v the gradient or, with momentum, v <- momentum * v + gradient (Polyak's, as torch.optim.SGD)."""

    momentum: float = 0.0

    def init(self, params: Pytree) -> Pytree:
        return {"velocity": tree_map(torch.zeros_like, params)} if self.momentum else {}

    def update(self, grads: Pytree, state: Pytree, params: Pytree, rate: float | Tensor | Pytree) -> tuple[Pytree, Pytree]:
        if self.momentum:
            grads = tree_map(lambda v, g: self.momentum * v + g, state["velocity"], grads)
            state = {"velocity": grads}
        return _descend(params, grads, rate), state


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

    def update(self, grads: Pytree, state: Pytree, params: Pytree, rate: float | Tensor | Pytree) -> tuple[Pytree, Pytree]:
        steps = state["steps"] + 1
        square = tree_map(lambda s, g: torch.addcmul(self.beta2 * s, g, g, value=1 - self.beta2), state["square"], grads)
        new = {"square": square, "steps": steps}
        mean = grads
        if self.beta1:
            mean = new["mean"] = tree_map(lambda m, g: torch.lerp(m, g, 1 - self.beta1), state["mean"], grads)
        first, second = 1 - self.beta1**steps, (1 - self.beta2**steps).sqrt()  # corrections of the bias towards 0
        # (m / first) / (sqrt(s) / second + eps), with the corrections moved to where they cost no pass over memory
        direction = tree_map(lambda m, s: m / (s.sqrt() + (self.eps * second).to(s.dtype)), mean, square)
        scale = second / first
        rates = tree_map(lambda p, r: (scale * r).to(p.dtype), params, rate) if isinstance(rate, dict) else scale * rate
        return _descend(params, direction, rates), new


Optimizer = Sgd | Adam


def _descend(params: Pytree, direction: Pytree, rate: float | Tensor | Pytree) -> Pytree:
    """params - rate * direction; a rate that is a dict holds one rate for every parameter (Meta-SGD)."""
    if isinstance(rate, dict):
        return tree_map(lambda p, d, r: torch.addcmul(p, d, r, value=-1), params, direction, rate)
    if isinstance(rate, Tensor):
        return tree_map(lambda p, d: torch.addcmul(p, d, rate.to(p.dtype), value=-1), params, direction)
    return tree_map(lambda p, d: torch.add(p, d, alpha=-rate), params, direction)


def scheduled(rate: float, schedule: Schedule, unit: Tensor, total: int) -> Tensor:
    """The rate for update number `unit` (0-based) of `total`: constant, or falling to 0 linearly or along a half cosine."""
    done = unit / max(total, 1)
    factor = {
        "constant": torch.ones_like(done),
        "linear": 1 - done,
        "cosine": 0.5 * (1 + torch.cos(math.pi * done)),
    }[schedule]
    return rate * factor


def clip(grads: Pytree, *, norm: float | None, value: float | None) -> Pytree:
    """Clips each element to [-value, value], then the global norm to `norm`; None leaves that one out."""
    if value is not None:
        grads = tree_map(lambda g: g.clamp(-value, value), grads)
    if norm is not None:
        leaves: list[Tensor] = []
        tree_map(leaves.append, grads)
        total = torch.stack([g.square().sum() for g in leaves]).sum().sqrt()
        factor = (norm / (total + 1e-6)).clamp(max=1.0)
        grads = tree_map(lambda g: g * factor, grads)
    return grads

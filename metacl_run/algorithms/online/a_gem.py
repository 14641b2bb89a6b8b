"""Averaged gradient episodic memory: to first order, a step must not raise the loss on samples drawn from past tasks.

    metacl-run algo=a_gem data=split_cifar100 model=conv_plain_tiny

Chaudhry et al. 2019 (arXiv 1812.00420, equation 11). g is the gradient on the batch, g_ref the gradient on the drawn samples:

    g~ = g                                              if g . g_ref >= 0
    g~ = g - (g . g_ref) / (g_ref . g_ref) * g_ref      else

During the first task there is nothing to replay, and the step follows g.

Differences from the paper:
 1. By default the replay buffer keeps the latest samples of each task; with buffer=ring, the latest ones of each of its
    classes, as in the released code.
 2. With optimizer=adam, Adam follows the projected gradient, and its step need not agree with g_ref; the paper uses SGD.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.func import grad, grad_and_value
from torch.utils._pytree import tree_map

from metacl_run.algorithms.online.gradient_learner import GradientLearner, GradientState
from metacl_run.algorithms.online.stream_learner import ReplaySpec
from metacl_run.core.bounds import Examples, Steps
from metacl_run.core.errors import require
from metacl_run.core.types import Metrics, Observation, Params
from metacl_run.models.network import Network


@dataclass(frozen=True, kw_only=True)
class AGem(GradientLearner[GradientState]):
    """SGD on the stream, its gradient projected to agree with the gradient on one draw from past tasks.

    Attributes:
        updates: steps for each batch, each with a new draw ("glances").
        memories_per_task: samples of each task in the replay buffer.
        buffer: "last": the latest samples of a task; "ring": the latest ones of each of its classes, an equal share for each.
        replay: samples drawn from those of all past tasks; all of them while there are fewer.
    """

    updates: Steps
    memories_per_task: Examples
    buffer: Literal["last", "ring"]
    replay: Examples

    def replay_spec(self, num_tasks: int) -> ReplaySpec:
        most = self.memories_per_task * max(1, num_tasks - 1)
        allowed = f"must be at most the {most} samples of past tasks that memories_per_task={self.memories_per_task} keeps"
        require(self.replay <= most, "replay", self.replay, allowed)
        return ReplaySpec(
            keep=self.buffer,
            capacity=self.memories_per_task * num_tasks,
            draws=self.updates,
            size=self.replay,
            past=self.buffer == "ring",
        )

    def init(self, network: Network, params: Params, num_tasks: int) -> GradientState:
        return self.start(params)

    def observe(self, network: Network, state: GradientState, observed: Observation) -> tuple[GradientState, Metrics]:
        losses, rate = [], self.lr_at(observed)
        for number in range(self.updates):
            gradient, loss = grad_and_value(network.loss)(state["params"], *observed.batch)
            reference = grad(network.weighted_loss)(state["params"], *observed.draw(number))
            state = self.step(project(gradient, reference), state, rate)
            losses.append(loss)
        return state, {"loss": torch.stack(losses).mean()}


def project(gradient: Params, reference: Params) -> Params:
    """Returns the vector nearest to `gradient` whose product with `reference` is not negative."""
    product = _dot(gradient, reference)
    excess = torch.where(product < 0, product / _dot(reference, reference), 0.0)
    projected: Params = tree_map(lambda g, r: g - excess * r, gradient, reference)
    return projected


def _dot(a: Params, b: Params) -> Tensor:
    return torch.stack([(a[name] * b[name]).sum() for name in a]).sum()

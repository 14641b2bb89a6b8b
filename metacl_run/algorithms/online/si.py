"""Synaptic intelligence: a penalty on parameters, weighted by how much each of them has lowered the loss so far.

    metacl-run algo=si data=rotated_mnist

Zenke, Poole, Ganguli 2017 (arXiv 1703.04200, equations 3 to 5). For every parameter element, where g is the gradient of the
task's loss alone and d is the step taken:

    path     <- path - g * d                                                               at every update
    omega    <- max(0, omega + path / ((theta - theta~)^2 + damping)), theta~ <- theta, path <- 0      at the end of a task
    loss = L + strength * sum of omega * (theta - theta~)^2

Differences from the paper:
 1. The optimiser is SGD unless optimizer=adam; the paper uses Adam.
 2. The maximum with 0 is in the released code, not in the paper: a parameter whose path raised the loss is not pushed away.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from torch import Tensor
from torch.func import grad_and_value
from torch.utils._pytree import tree_map

from metacl_run.algorithms.online.gradient_learner import GradientLearner, GradientState, with_penalty
from metacl_run.algorithms.online.stream_learner import NO_REPLAY, ReplaySpec
from metacl_run.core.bounds import Hint, Positive
from metacl_run.core.types import Metrics, Observation, Params, Samples
from metacl_run.models.network import Network


class SiState(GradientState):
    """The parameters and the terms of the penalty, all of the same shape."""

    reference: Params
    """theta~, the parameters at the end of the last task; at first the initial ones, which have no effect, since omega is 0."""
    omega: Params
    path: Params


@dataclass(frozen=True, kw_only=True)
class SynapticIntelligence(GradientLearner[SiState]):
    """SGD with a quadratic penalty, weighted by a path integral.

    Attributes:
        strength: factor of the penalty (c).
        damping: keeps omega finite where a parameter hardly moved (xi).
    """

    strength: Annotated[Positive, Hint("without a penalty, algo=sgd")]
    damping: Positive

    def replay_spec(self, num_tasks: int) -> ReplaySpec:
        return NO_REPLAY

    def init(self, network: Network, params: Params, num_tasks: int) -> SiState:
        zeros = tree_map(torch.zeros_like, params)
        return {**self.start(params), "reference": params, "omega": zeros, "path": zeros}

    def observe(self, network: Network, state: SiState, observed: Observation) -> tuple[SiState, Metrics]:
        params = state["params"]
        gradient, loss = grad_and_value(network.loss)(params, *observed.batch)
        direction = with_penalty(gradient, params, state["reference"], state["omega"], self.strength)
        rate = self.lr_at(observed)
        moved = self.step(direction, state, rate)
        if self.plain_sgd:  # the step is known without a subtraction, which would round
            path = tree_map(partial(_walked, rate=rate), state["path"], gradient, direction)
        else:
            path = tree_map(lambda path, g, new, old: path - g * (new - old), state["path"], gradient, moved["params"], params)
        return {**moved, "path": path}, {"loss": loss}

    def end_task(self, network: Network, state: SiState, samples: Samples) -> SiState:
        params = state["params"]

        def consolidated(omega: Tensor, path: Tensor, p: Tensor, reference: Tensor) -> Tensor:
            return (omega + path / ((p - reference).square() + self.damping)).clamp(min=0)

        omega = tree_map(consolidated, state["omega"], state["path"], params, state["reference"])
        path = tree_map(torch.zeros_like, params)
        return {**state, "reference": params, "omega": omega, "path": path}


def _walked(path: Tensor, gradient: Tensor, direction: Tensor, rate: float | Tensor) -> Tensor:
    """path + rate * gradient * direction."""
    if isinstance(rate, Tensor):
        return torch.addcmul(path, rate.to(path.dtype) * gradient, direction)
    return torch.addcmul(path, gradient, direction, value=rate)

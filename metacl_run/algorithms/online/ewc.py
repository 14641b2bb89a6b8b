"""Elastic weight consolidation: a penalty keeps parameters that mattered to earlier tasks near the values those tasks left.

    metacl-run algo=ewc data=rotated_mnist

Kirkpatrick et al. 2017 (arXiv 1612.00796, equation 3), with one penalty for each task that is over:

    loss = L + strength * sum over past tasks t of F_t * (theta - theta_t)^2

theta_t are the parameters at the end of task t, F_t the diagonal of the Fisher information there, estimated on samples of t.
The penalty's gradient, 2 * strength * (theta * sum F_t - sum F_t * theta_t), needs two sums: no update costs more than another.

Differences from the paper:
 1. The factor of the penalty is strength, as in the code of GEM and MER; the paper writes lambda / 2.
 2. F_t takes the true targets (the "empirical" Fisher), as that code does. `mean_of_squares` is the estimate by the definition;
    `square_of_mean` squares the gradient of the mean loss, as that code does, and its strengths are for it. The latter is
    smaller, about by the number of samples where their gradients do not agree. `expected` is the Fisher information itself,
    with targets as the network expects them; real targets need it: once fitted, they leave no gradient to square.
 3. The samples are drawn from the whole task; that code takes the first ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.func import grad, grad_and_value, vjp
from torch.utils._pytree import tree_map

from metacl_run.algorithms.online.gradient_learner import GradientLearner, GradientState
from metacl_run.algorithms.online.stream_learner import NO_REPLAY, ReplaySpec
from metacl_run.core.bounds import Examples, Hint, Positive
from metacl_run.core.types import Metrics, Observation, Params, Samples
from metacl_run.models.network import Network

GRADIENTS_AT_ONCE = 50
"""Gradients of single samples that are computed together."""


class EwcState(GradientState):
    """The parameters and the two sums of the penalty."""

    fisher: Params
    """sum of F_t over the tasks that are over."""
    anchor: Params
    """sum of F_t * theta_t."""


@dataclass(frozen=True, kw_only=True)
class Ewc(GradientLearner[EwcState]):
    """SGD with a quadratic penalty, weighted by the Fisher information of the tasks that are over.

    Attributes:
        strength: factor of the penalty.
        fisher_samples: samples of a task on which its Fisher information is estimated.
        fisher: "mean_of_squares" or "square_of_mean" of the samples' gradients, or "expected"; see the module's docstring.
    """

    strength: Annotated[Positive, Hint("without a penalty, algo=sgd")]
    fisher_samples: Examples
    fisher: Literal["mean_of_squares", "square_of_mean", "expected"]

    def replay_spec(self, num_tasks: int) -> ReplaySpec:
        return NO_REPLAY

    def init(self, network: Network, params: Params, num_tasks: int) -> EwcState:
        zeros = tree_map(torch.zeros_like, params)
        return {**self.start(params), "fisher": zeros, "anchor": zeros}

    def observe(self, network: Network, state: EwcState, observed: Observation) -> tuple[EwcState, Metrics]:
        params = state["params"]
        gradient, loss = grad_and_value(network.loss)(params, *observed.batch)

        def penalised(g: Tensor, p: Tensor, fisher: Tensor, anchor: Tensor) -> Tensor:
            return torch.add(g, fisher * p - anchor, alpha=2 * self.strength)

        gradient = tree_map(penalised, gradient, params, state["fisher"], state["anchor"])
        return self.step(gradient, state), {"loss": loss}

    @property
    def num_consolidation_samples(self) -> int:
        return self.fisher_samples

    def end_task(self, network: Network, state: EwcState, samples: Samples) -> EwcState:
        params = state["params"]
        fisher = self._fisher(network, params, samples)
        anchor = tree_map(torch.addcmul, state["anchor"], fisher, params)
        return {**state, "fisher": tree_map(torch.add, state["fisher"], fisher), "anchor": anchor}

    def _fisher(self, network: Network, params: Params, samples: Samples) -> Params:
        """Estimates the diagonal of the Fisher information, shaped like the parameters."""

        def squared(samples: Samples) -> Params:
            gradient = grad(network.loss)(params, *samples)
            return {name: leaf.square() for name, leaf in gradient.items()}

        def expected(samples: Samples) -> Params:
            outputs, pulled_back = vjp(lambda moving: network(moving, samples.x, samples.task).squeeze(0), params)[:2]
            (gradients,) = torch.vmap(pulled_back)(network.objective.information_roots(outputs))
            return {name: leaf.square().sum(0) for name, leaf in gradients.items()}

        if self.fisher == "square_of_mean":
            return squared(samples)
        of_sample, at_once = (expected, network.ways) if self.fisher == "expected" else (squared, 1)
        total: Params = tree_map(torch.zeros_like, params)
        for single_samples in samples.unsqueeze(1).chunks(max(1, GRADIENTS_AT_ONCE // at_once)):
            squares = torch.vmap(of_sample)(single_samples)
            total = {name: leaf + squares[name].sum(0) for name, leaf in total.items()}
        return {name: leaf / len(samples.y) for name, leaf in total.items()}

"""Elastic weight consolidation: a penalty keeps parameters that matter to earlier tasks near the values that they had at the
end of those tasks.

    metacl-run algo=ewc data=rotated_mnist              # or algo=online_ewc

Kirkpatrick et al. 2017 (arXiv 1612.00796, equation 3), with one penalty for each past task:

    loss = L + strength * sum over past tasks t of F_t * (theta - theta_t)^2

theta_t are the parameters at the end of task t, F_t the diagonal of the Fisher information there, estimated on samples of t.
The penalty's gradient, 2 * strength * (theta * sum F_t - sum F_t * theta_t), needs only two sums, so that the cost of an update
does not grow with the tasks.

`online_ewc` (Schwarz et al. 2018, arXiv 1805.06370, section 3.2) has a single penalty, around the parameters at the end of the
last task, and multiplies earlier information by `decay`:

    loss = L + strength * F * (theta - theta_last)^2,      F <- decay * F + F_t        at the end of task t

Differences from the paper:
 1. The factor of the penalty is strength, as in the code of GEM and MER; the paper writes lambda / 2.
 2. F_t uses the true targets (the "empirical" Fisher), as that code does. `mean_of_squares` is the estimate by the definition.
    `square_of_mean` squares the gradient of the mean loss, as that code does, and its values of strength assume this; it is
    smaller, by about the number of samples if their gradients do not agree. `expected` is the Fisher information itself, with
    targets as the network expects them. Real targets need it: once they are fitted, there is no gradient left to square.
 3. The samples are drawn from the whole task; that code takes the first ones.
 4. In `online_ewc`, strength stands for the paper's decay / 2. The paper scales the information of every task to the same size
    before adding it, for games whose rewards differ; this is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor
from torch.func import grad, grad_and_value, vjp
from torch.utils._pytree import tree_map

from metacl_run.algorithms.online.gradient_learner import GradientLearner, GradientState
from metacl_run.algorithms.online.stream_learner import NO_REPLAY, ReplaySpec
from metacl_run.core.bounds import Examples, Hint, Positive
from metacl_run.core.types import Metrics, Observation, Params, Samples
from metacl_run.inner.single_samples import mean_over_samples
from metacl_run.models.network import Network


class EwcState(GradientState):
    """The parameters and the two sums of the penalty."""

    fisher: Params
    """sum of F_t over past tasks; with a decay, F."""
    anchor: Params
    """sum of F_t * theta_t; with a decay, F * theta_last."""


@dataclass(frozen=True, kw_only=True)
class Ewc(GradientLearner[EwcState]):
    """SGD with a quadratic penalty, weighted by the Fisher information of past tasks.

    Attributes:
        strength: factor of the penalty.
        fisher_samples: samples of a task on which its Fisher information is estimated.
        decay: null: one penalty per task; a number: one penalty for all tasks, whose Fisher information decays by this factor
            with every task (gamma).
        fisher: "mean_of_squares" or "square_of_mean" of the samples' gradients, or "expected"; see the module's docstring.
    """

    strength: Annotated[Positive, Hint("without a penalty, algo=sgd")]
    fisher_samples: Examples
    decay: Annotated[float, Ge(0), Le(1)] | None
    fisher: Literal["mean_of_squares", "square_of_mean", "expected"]

    consolidation_setting: ClassVar[str | None] = "fisher_samples"

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
        return self.step(gradient, state, self.lr_at(observed)), {"loss": loss}

    def end_task(self, network: Network, state: EwcState, samples: Samples) -> EwcState:
        params = state["params"]
        fisher = self._fisher(network, params, samples)
        if self.decay is None:
            anchor = tree_map(torch.addcmul, state["anchor"], fisher, params)
            return {**state, "fisher": tree_map(torch.add, state["fisher"], fisher), "anchor": anchor}
        fisher = tree_map(lambda old, new: self.decay * old + new, state["fisher"], fisher)
        return {**state, "fisher": fisher, "anchor": tree_map(torch.mul, fisher, params)}

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
        if self.fisher == "expected":
            return mean_over_samples(expected, samples, gradients=network.ways)
        return mean_over_samples(squared, samples)

"""Elastic weight consolidation: parameters that mattered to earlier tasks are held near where those tasks left them.

Kirkpatrick et al. 2017 (arXiv 1612.00796, equation 3), with one penalty for each task that is over:

    loss = L + strength * sum over past tasks t of F_t * (theta - theta_t)^2

theta_t are the parameters at the end of task t, F_t the diagonal of the Fisher information there, estimated on samples of t.
The penalty's gradient, 2 * strength * (theta * sum F_t - sum F_t * theta_t), needs two sums: no update costs more than another.

Differences from the paper:
 1. The factor of the penalty is strength, as in the code of GEM and MER; the paper writes lambda / 2.
 2. F_t takes the true labels (the "empirical" Fisher), as that code does. `mean_of_squares` is the estimate that the definition
    asks for; `square_of_mean` squares the gradient of the mean loss, which is what that code does and its strengths are for.
    The latter is smaller, about by the number of samples where their gradients do not agree.
 3. The samples are drawn from the whole task; that code takes the first ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.func import grad, grad_and_value
from torch.utils._pytree import tree_map

from metacl_run.algorithms.online.stream_learner import Recall, State, StreamLearner, loss_on
from metacl_run.core.bounds import Examples, Hint, Positive
from metacl_run.core.types import Observation, Params, Samples
from metacl_run.inner.optimizers import Sgd
from metacl_run.models.base import Network

GRADIENTS_AT_ONCE = 50
"""Gradients of single samples that are held together."""


@dataclass(frozen=True, kw_only=True)
class Ewc(StreamLearner):
    """SGD with a quadratic penalty, weighted by the Fisher information of the tasks that are over.

    State: "fisher" is sum F_t, "anchor" is sum F_t * theta_t.

    Attributes:
        lr: rate.
        strength: factor of the penalty.
        fisher_samples: samples of a task that its Fisher information is estimated on.
        fisher: "mean_of_squares" or "square_of_mean" of the samples' gradients; see the module's docstring.
    """

    lr: Positive
    strength: Annotated[Positive, Hint("without a penalty, algo=sgd")]
    fisher_samples: Examples
    fisher: Literal["mean_of_squares", "square_of_mean"]

    def recall(self, num_tasks: int) -> Recall:
        return Recall(keep="reservoir", capacity=0, draws=1, size=0)

    def init(self, network: Network, params: Params, num_tasks: int) -> State:
        return {"params": params, **{name: tree_map(torch.zeros_like, params) for name in ("fisher", "anchor")}}

    def observe(self, network: Network, state: State, observed: Observation) -> tuple[State, dict[str, Tensor]]:
        params = state["params"]
        gradient, loss = grad_and_value(lambda params: loss_on(network, params, observed.batch))(params)

        def penalised(g: Tensor, p: Tensor, fisher: Tensor, anchor: Tensor) -> Tensor:
            return torch.add(g, fisher * p - anchor, alpha=2 * self.strength)

        gradient = tree_map(penalised, gradient, params, state["fisher"], state["anchor"])
        params, _ = Sgd().update(gradient, {}, params, self.lr)
        return {**state, "params": params}, {"loss": loss}

    @property
    def samples_at_end(self) -> int:
        return self.fisher_samples

    def end_task(self, network: Network, state: State, samples: Samples) -> State:
        params = state["params"]
        fisher = self._fisher(network, params, samples)
        anchor = tree_map(torch.addcmul, state["anchor"], fisher, params)
        return {"params": params, "fisher": tree_map(torch.add, state["fisher"], fisher), "anchor": anchor}

    def _fisher(self, network: Network, params: Params, samples: Samples) -> Params:
        """The diagonal of the Fisher information, shaped like the parameters."""

        def squared(samples: Samples) -> Params:
            return tree_map(torch.square, grad(lambda params: loss_on(network, params, samples))(params))

        if self.fisher == "square_of_mean":
            return squared(samples)
        total = tree_map(torch.zeros_like, params)
        for part in zip(*(each.unsqueeze(1).split(GRADIENTS_AT_ONCE) for each in samples), strict=True):
            squares = torch.vmap(squared)(Samples(*part))
            total = tree_map(lambda sum_, square: sum_ + square.sum(0), total, squares)
        return tree_map(lambda leaf: leaf / len(samples.y), total)

"""Bayesian gradient descent (Zeno et al. 2018, BGD, arXiv 1803.10123, algorithm 1) and MetaBGD (He et al. 2019,
arXiv 1906.05201): continual learning without task boundaries.

Every parameter has a mean mu and a standard deviation s. For K draws e_k of standard normal numbers, theta_k = mu + s e_k; L is
the summed loss of the batch:

    g = mean_k dL(theta_k)/dtheta,  h = mean_k (dL(theta_k)/dtheta) e_k
    mu <- mu - eta s^2 g
    s  <- s sqrt(1 + (s h / 2)^2) - s^2 h / 2

So a parameter on which the loss depends becomes more certain and moves less. BGD (stream_inner_steps=0) computes L on the batch
itself. MetaBGD computes L after an inner loop on the previous batch, differentiates through this inner loop, and predicts after
it.

Differences from the papers:
 1. Predictions use mu; the released code of OSAKA averages the accuracy of the K draws.
 2. MetaBGD's inner loop is plain gradient descent on all parameters.
 3. Every draw adapts from its own theta_k, as in La-MAML's code for Meta-BGD. In OSAKA's code, draws share the parameters that
    were adapted from mu, so that their outputs are equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Le
from torch import Tensor
from torch.func import grad
from torch.utils._pytree import tree_map

from metacl_run.algorithms.osaka.task_free_learner import Observed, TaskFreeLearner
from metacl_run.core.bounds import NoEffectWith, Positive, StepsFromZero
from metacl_run.core.types import Params, Pytree
from metacl_run.inner.adapt import adapt
from metacl_run.inner.flat import SideBySide
from metacl_run.inner.optimizers import Sgd
from metacl_run.inner.states import chosen
from metacl_run.models.network import Network


@dataclass(frozen=True, kw_only=True)
class BayesianGradientDescent(TaskFreeLearner):
    """Moves every parameter in proportion to its variance.

    Attributes:
        eta: factor of the steps of the means.
        initial_deviation: standard deviation of every parameter at the start.
        draws: K, draws of the parameters at every step.
        inner_lr: rate of the inner loop for a mean loss.
        stream_inner_steps: gradient steps on a batch before the next batch is predicted; 0: BGD.
        first_order: drop second derivatives.
    """

    eta: Positive
    initial_deviation: Positive
    draws: Annotated[int, Ge(1), Le(1000)]
    inner_lr: Annotated[Positive, NoEffectWith("stream_inner_steps", (0,))]
    stream_inner_steps: StepsFromZero
    first_order: Annotated[bool, NoEffectWith("stream_inner_steps", (0,))]

    detects_switches: ClassVar[bool] = False

    def count_noise(self, params: Params) -> int:
        return self.draws * sum(value.numel() for value in params.values())

    def init(self, network: Network, params: Params, rates: Tensor, batch: Observed) -> Pytree:
        deviation = tree_map(lambda value: torch.full_like(value, self.initial_deviation), params)
        last = {"x": torch.zeros_like(batch.x), "y": torch.zeros_like(batch.y)}
        return {"mean": params, "deviation": deviation, "last": last, "has_last": torch.zeros((), dtype=torch.bool)}

    def begin(self, network: Network, state: Pytree) -> Pytree:
        return state

    def learned_params(self, state: Pytree) -> Params:
        """The means."""
        means: Params = state["mean"]
        return means

    def weights(self, network: Network, state: Pytree) -> Params:
        return self._adapted(network, state["mean"], state)

    def observe(self, network: Network, state: Pytree, batch: Observed) -> tuple[Pytree, Tensor]:
        mean, deviation = state["mean"], state["deviation"]

        def loss(params: Params) -> Tensor:
            return network.loss(self._adapted(network, params, state), *batch.pair) * len(batch.x)

        slopes = tree_map(torch.zeros_like, mean)
        slopes_by_noise = tree_map(torch.zeros_like, mean)
        layout = SideBySide(mean)
        for noise in batch.noise.view(self.draws, -1):
            own = layout.shaped({"all": noise})
            slope = grad(loss)(tree_map(lambda m, s, e: m + s * e, mean, deviation, own))
            slopes = tree_map(torch.add, slopes, slope)
            slopes_by_noise = tree_map(lambda total, g, e: total + g * e, slopes_by_noise, slope, own)
        moved = tree_map(lambda m, s, g: m - self.eta * s.square() * g / self.draws, mean, deviation, slopes)
        certain = tree_map(lambda s, h: _narrowed(s, h / self.draws), deviation, slopes_by_noise)
        # The first batch of a learner that adapts has none before it that it could adapt to.
        learns = state["has_last"] if self.stream_inner_steps else torch.ones_like(state["has_last"])
        new = {
            "mean": chosen(learns, moved, mean),
            "deviation": chosen(learns, certain, deviation),
            "last": {"x": batch.x, "y": batch.y},
            "has_last": torch.ones_like(state["has_last"]),
        }
        return new, torch.zeros_like(batch.x.flatten()[0])

    def _adapted(self, network: Network, params: Params, state: Pytree) -> Params:
        """The parameters after the inner loop on the batch before; as they are where there is none."""
        if not self.stream_inner_steps:
            return params
        batches = [(state["last"]["x"], state["last"]["y"])] * self.stream_inner_steps
        adapted, _ = adapt(network.loss, params, batches, optimizer=Sgd(), rate=self.inner_lr, first_order=self.first_order)
        return {name: torch.where(state["has_last"], value, params[name]) for name, value in adapted.items()}


def _narrowed(deviation: Tensor, slope_by_noise: Tensor) -> Tensor:
    half = deviation * slope_by_noise / 2
    return deviation * (torch.sqrt(1 + half.square()) - half)

"""MAML whose inner loop is pulled back to where it began.

On the support set of an episode, `inner_steps` times from theta_0 = theta:

    theta_k+1 = theta_k - inner_lr * grad [ L_support(theta_k) + pull / 2 * |theta_k - theta|^2 ]

The outer gradient, of the loss on the queries after these steps, goes through them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad, grad_and_value

from metacl_run.algorithms.continual_meta.episode_learner import EpisodeLearner
from metacl_run.algorithms.meta_learner import Meta, Update, metrics_of
from metacl_run.core.bounds import NonNegative, Positive, Steps
from metacl_run.core.types import Episode, Params, Pytree
from metacl_run.models.network import Network


@dataclass(frozen=True, kw_only=True)
class MamlProx(EpisodeLearner):
    """Attributes: the settings of maml_prox.yaml; those of the outer loop are `EpisodeLearner`'s."""

    inner_lr: Positive
    inner_steps: Steps
    pull: NonNegative

    def num_outputs(self, ways: int) -> int | None:
        return ways  # None: the network has no last layer

    def inner_batches(self, support: int, training: bool) -> tuple[int, int] | None:
        return None  # every step takes the whole support set

    def init(self, network: Network, params: Params, rates: Tensor) -> tuple[Meta, Pytree]:
        return {"params": params}, {}  # what is meta-learned; and what is carried along besides, such as a counter

    def episode_update(self, network: Network, meta: Pytree, carry: Pytree, episode: Episode) -> Update:
        def query_loss(meta: Meta) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            outputs = network(self._adapted(network, meta["params"], episode), episode.query_x)
            loss = network.objective.loss(outputs, episode.query_y)
            return loss, (loss, outputs)

        gradient, (_, (loss, outputs)) = grad_and_value(query_loss, has_aux=True)(meta)
        return Update(gradient, carry, metrics_of(network, loss, outputs, episode.query_y))

    def learn(self, network: Network, meta: Pytree, carry: Pytree, episode: Episode) -> Params:
        return self._adapted(network, meta["params"], episode)

    def predict(self, network: Network, meta: Pytree, fast: Params, x: Tensor) -> Tensor:
        return network(fast, x)

    def _adapted(self, network: Network, start: Params, episode: Episode) -> Params:
        def objective(params: Params) -> Tensor:
            far = torch.stack([(params[name] - start[name]).square().sum() for name in params]).sum()
            return network.loss(params, episode.support_x, episode.support_y) + self.pull / 2 * far

        params = start
        for _ in range(self.inner_steps):
            gradient = grad(objective)(params)
            params = {name: value - self.inner_lr * gradient[name] for name, value in params.items()}
        return params

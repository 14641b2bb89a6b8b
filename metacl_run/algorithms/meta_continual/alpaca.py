"""ALPaCA: Bayesian linear regression on meta-learned features (Harrison et al. 2018, arXiv 1807.08912).

    metacl-run algo=alpaca data=incremental_sine

For features phi(x), weights K ~ matrix normal(K0, L0^-1, noise) and examples (Phi, Y),

    L = L0 + Phi' Phi,   K = L^-1 (Phi' Y + L0 K0),   y | x ~ normal(K' phi, noise * (1 + phi' L^-1 phi))

(equations 6 to 8). Features, K0, L0 and the noise are meta-learned so that the queries of a trajectory are likely after it.
Only sums over examples are kept, in float64: nothing is forgotten, and the order does not matter.

Differences from the paper:
 1. The variance of the noise is learned, one number for all dimensions of the target; the paper assumes that it is known.
 2. The posterior is computed after whole trajectories, not after a random number of examples of each. All functions of a
    trajectory share it; in the authors' code a task is one function.
 3. Features have a constant 1 beside them, and L0 starts as the identity.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, TypedDict

import torch
from torch import Tensor
from torch.func import grad_and_value

from metacl_run.algorithms.meta_continual.refuse_targets import refuse_classes
from metacl_run.algorithms.meta_continual.sequence_learner import SequenceLearner
from metacl_run.algorithms.meta_continual.trajectory_learner import TrajectoryLearner
from metacl_run.algorithms.meta_learner import Meta, Update
from metacl_run.core.bounds import Positive, Steps
from metacl_run.core.types import Params, Pytree, Trajectory
from metacl_run.models.network import HEAD, Network
from metacl_run.models.split_network import SplitNetwork


class WeightPrior(TypedDict):
    """The prior of the head's weights, except K0, which is the head itself."""

    factor: Tensor
    """[D + 1, D + 1]; L0 is its product with its transpose."""
    log_noise: Tensor
    """Scalar, the logarithm of the noise variance."""


class AlpacaMeta(Meta):
    """The parameters of the features, K0, and the rest of the prior."""

    prior: WeightPrior


class Posterior(NamedTuple):
    """The posterior of the head's weights, up to the noise; float64. The last feature is 1, for the offset."""

    precision: Tensor
    """[D + 1, D + 1] L."""
    moment: Tensor
    """[D + 1, dimensions] L K."""

    def after(self, features: Tensor, y: Tensor) -> Posterior:
        """Returns the posterior after further examples."""
        return Posterior(self.precision + features.T @ features, self.moment + features.T @ y.double())


@dataclass(frozen=True)
class PosteriorLearner(SequenceLearner):
    """Adds every example to the posterior; predicts its mean."""

    def prepare(self, network: Network, meta: Pytree, x: Tensor) -> Tensor:
        features = SplitNetwork(network, meta["params"], [HEAD]).frozen(meta["params"], x)
        return torch.cat([features, torch.ones_like(features[:, :1])], 1).double()

    def begin(self, network: Network, meta: Pytree, fresh: Tensor, prepared: Tensor) -> Posterior:
        """The prior: L0 and L0 K0."""
        weight, bias = (meta["params"][name].double() for name in SplitNetwork(network, meta["params"], [HEAD]).last)
        factor = meta["prior"]["factor"].double()
        precision = factor @ factor.T
        return Posterior(precision, precision @ torch.cat([weight, bias.unsqueeze(1)], 1).T)

    def learn(self, network: Network, meta: Pytree, fast: Posterior, prepared: Tensor, y: Tensor, rate: Tensor) -> Posterior:
        return fast.after(prepared, y)

    def predict(self, network: Network, meta: Pytree, fast: Posterior, prepared: Tensor) -> Tensor:
        weights: Tensor = torch.linalg.solve_ex(fast.precision, fast.moment).result
        return prepared @ weights


@dataclass(frozen=True, kw_only=True)
class Alpaca(TrajectoryLearner):
    """Closed-form regression.

    Attributes:
        noise: start value of the variance of the noise.
    """

    class_steps: Steps
    noise: Positive

    @property
    def sequence_learner(self) -> PosteriorLearner:
        return PosteriorLearner()

    def init(self, network: Network, params: Params) -> AlpacaMeta:
        """The head's weights are K0; its offset is the row of K0 for a feature that is always 1."""
        refuse_classes("Alpaca", network.objective)
        weight = params[SplitNetwork(network, params, [HEAD]).last[0]]
        factor = torch.eye(weight.shape[1] + 1, dtype=weight.dtype)
        return {"params": params, "prior": {"factor": factor, "log_noise": weight.new_tensor(math.log(self.noise))}}

    def episode_update(self, network: Network, meta: Pytree, carry: Pytree, episode: Trajectory) -> Update:
        learner = self.sequence_learner

        def objective(meta: AlpacaMeta) -> tuple[Tensor, Tensor]:
            learned, queries = episode.split(learner.prepare(network, meta, episode.all_x()))
            posterior = learner.begin(network, meta, episode.fresh, learned).after(learned, episode.y.flatten(0, 1))
            # An inverse, whose derivative is two products: that of `solve` reads from the card whether it succeeded.
            inverse = torch.linalg.inv_ex(posterior.precision).inverse
            solved = inverse @ torch.cat([posterior.moment, queries.T], 1)
            dimensions = episode.query_y.shape[-1]
            outputs = queries @ solved[:, :dimensions]
            log_noise = meta["prior"]["log_noise"].double()
            growth = 1 + (queries * solved[:, dimensions:].T).sum(1)
            squared = (outputs - episode.query_y).square().sum(1) / (log_noise.exp() * growth)
            loss = (squared + dimensions * (log_noise + growth.log() + math.log(2 * math.pi))).mean() / 2
            return loss, outputs

        gradient, (loss, outputs) = grad_and_value(objective, has_aux=True)(meta)
        metrics = {"loss": loss, "mse": network.objective.score(outputs, episode.query_y)}
        return Update(gradient, carry, {name: value.to(episode.query_y.dtype) for name, value in metrics.items()})

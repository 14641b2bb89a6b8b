"""ALPaCA: Bayesian linear regression on meta-learned features (Harrison et al. 2018, arXiv 1807.08912).

With features phi(x), weights K ~ matrix normal(K0, L0^-1, noise) and examples (Phi, Y),

    L = L0 + Phi' Phi,   K = L^-1 (Phi' Y + L0 K0),   y | x ~ normal(K' phi, noise * (1 + phi' L^-1 phi))

(equations 6 to 8). Features, K0, L0 and the noise are meta-learned to make the queries of a trajectory likely after it. Sums
over examples, in float64, are all that is kept: nothing is forgotten, and the order does not matter.

Differences from the paper:
 1. The noise variance is learned, one number for all dimensions of the target; the paper takes it as known.
 2. The posterior is taken after whole trajectories, not after a random number of examples of each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.func import grad_and_value

from metacl_run.algorithms.meta_continual.trajectory_learner import TrajectoryLearner
from metacl_run.algorithms.meta_learner import Update
from metacl_run.core.bounds import Positive, Steps
from metacl_run.core.errors import ConfigError
from metacl_run.core.types import Params, Pytree, Trajectory
from metacl_run.models.base import HEAD, Cut, Network
from metacl_run.scoring.objectives import REGRESSION


@dataclass(frozen=True, kw_only=True)
class Alpaca(TrajectoryLearner):
    """Closed-form regression.

    Attributes:
        noise: variance of the noise, where it starts.
    """

    class_steps: Steps
    noise: Positive
    uses_rate: ClassVar[bool] = False

    def num_outputs(self, outputs: int) -> int | None:
        return outputs

    def init(self, network: Network, params: Params) -> Pytree:
        """The head's weights are K0 without its offset, which is a feature of its own."""
        if network.objective is not REGRESSION:
            raise ConfigError("algo: Alpaca learns functions; the data are classes. Use algo=gemcl.")
        weight = params[Cut(network, params, [HEAD]).last[0]]
        width = weight.shape[1] + 1
        prior = {"factor": torch.eye(width, dtype=weight.dtype), "log_noise": weight.new_tensor(math.log(self.noise))}
        return {"params": params, "prior": prior}

    def _features(self, network: Network, meta: Pytree, x: Tensor) -> Tensor:
        features = Cut(network, meta["params"], [HEAD]).before(meta["params"], x)
        return torch.cat([features, torch.ones_like(features[:, :1])], 1).double()

    def _prior(self, network: Network, meta: Pytree) -> dict[str, Tensor]:
        """L0 and L0 K0."""
        weight, bias = (meta["params"][name].double() for name in Cut(network, meta["params"], [HEAD]).last)
        factor = meta["prior"]["factor"].double()
        precision = factor @ factor.T
        return {"precision": precision, "moment": precision @ torch.cat([weight, bias.unsqueeze(1)], 1).T}

    @staticmethod
    def _with(fast: dict[str, Tensor], features: Tensor, y: Tensor) -> dict[str, Tensor]:
        return {"precision": fast["precision"] + features.T @ features, "moment": fast["moment"] + features.T @ y.double()}

    def episode_update(self, network: Network, meta: Pytree, carry: Pytree, episode: Trajectory) -> Update:
        def objective(meta: Pytree) -> tuple[Tensor, Any]:
            both = self._features(network, meta, torch.cat([episode.x.flatten(0, 1), episode.query_x]))
            learned, queries = both.split([episode.y.shape[0] * episode.y.shape[1], len(episode.query_y)])
            fast = self._with(self._prior(network, meta), learned, episode.y.flatten(0, 1))
            solved = torch.linalg.solve(fast["precision"], torch.cat([fast["moment"], queries.T], 1))
            dimensions = episode.query_y.shape[-1]
            outputs = queries @ solved[:, :dimensions]
            log_noise = meta["prior"]["log_noise"].double()
            growth = 1 + (queries * solved[:, dimensions:].T).sum(1)
            squared = (outputs - episode.query_y).square().sum(1) / (log_noise.exp() * growth)
            unlikely = (squared + dimensions * (log_noise + growth.log() + math.log(2 * math.pi))).mean() / 2
            return unlikely, outputs

        gradient, (loss, outputs) = grad_and_value(objective, has_aux=True)(meta)
        metrics = {"loss": loss, "mse": network.objective.score(outputs, episode.query_y)}
        return Update(gradient, carry, {name: value.to(episode.query_y.dtype) for name, value in metrics.items()})

    def prepare(self, network: Network, meta: Pytree, x: Tensor) -> Pytree:
        return self._features(network, meta, x)

    def begin(self, network: Network, meta: Pytree, fresh: Tensor, given: Pytree) -> Pytree:
        return self._prior(network, meta)

    def learn(self, network: Network, meta: Pytree, fast: Pytree, given: Pytree, y: Tensor, rate: Tensor) -> Pytree:
        return self._with(fast, given, y)

    def predict(self, network: Network, meta: Pytree, fast: Pytree, given: Pytree) -> Tensor:
        return given @ torch.linalg.solve(fast["precision"], fast["moment"])

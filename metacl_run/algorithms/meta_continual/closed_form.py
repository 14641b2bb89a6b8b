"""Learners that need no gradient to learn a sequence: what they keep of each class is a sum over its examples, so that nothing
is forgotten and the order does not matter.

  gemcl        features of a class are normal with a mean and precisions of its own; the prior of the precisions is meta-learned
               with the representation (Banayeeanzade et al. 2021, Generative vs Discriminative, NeurIPS)
  protonet_cl  the distance to the mean feature of each class (Snell et al. 2017, arXiv 1703.05175)

GeMCL. Of feature d of a class with n examples, mean m and sum of squared deviations s, under the prior precision ~ Gamma(a, b),
mean | precision ~ normal with variance 1 / (k precision) in the limit k -> 0 (a density of the mean that grows with the root of
the precision; a flat one would give n - 1 in place of the first n below),

    precision | examples ~ Gamma(a + n / 2, b + s / 2)
    p(x | examples) = Student t with 2a + n degrees of freedom at m, squared scale (b + s / 2) (n + 1) / ((a + n / 2) n)

and the score of the class is the sum over d of log p(x_d | examples). Meta-training minimises the cross-entropy of these scores
on the queries of a trajectory, by an ordinary gradient.

Differences from the papers:
 1. The prior is one Gamma for all features, starting at a = 100, b = 1000, learned as logarithms (Lee et al. 2024, arXiv
    2405.18758, has it so).
 2. The scale has the factor (n + 1) / n of a mean that is estimated; GeMCL's released code leaves it out. (Lee et al.'s takes
    the whole logarithm of the squared scale where the density has half of it.)
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor
from torch.func import grad_and_value

from metacl_run.algorithms.meta_continual.trajectory_learner import TrajectoryLearner
from metacl_run.algorithms.meta_learner import Update, metrics_of
from metacl_run.core.bounds import Classes, Examples, Hint, Positive, Steps
from metacl_run.core.errors import ConfigError, require
from metacl_run.core.types import Params, Pytree, Trajectory
from metacl_run.models.base import Network
from metacl_run.scoring.objectives import CLASSIFICATION

UNKNOWN = -1e9
"""Score of a class that was not seen."""
LARGEST = 2**24
"""Numbers that one class-by-feature table for some queries may hold."""


@dataclass(frozen=True, kw_only=True)
class Statistics(TrajectoryLearner):
    """Keeps the number, the sum and the sum of squares of each class's features, in float64: what is wanted of them are small
    differences of large numbers where features are far from 0."""

    classes: Annotated[Classes, Ge(2), Hint("to tell them apart")]
    class_steps: Steps
    query_examples: Annotated[Examples, Hint("the loss is taken on them")]

    uses_rate: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.remember == 0, "remember", self.remember, "must be 0: nothing is known of other classes")

    def num_outputs(self, outputs: int) -> int | None:
        return None

    def init(self, network: Network, params: Params) -> Pytree:
        if network.objective is not CLASSIFICATION:
            raise ConfigError(f"algo: {type(self).__name__} tells classes apart; the data are functions. Use algo=alpaca.")
        return {"params": params}

    @abc.abstractmethod
    def scores(self, meta: Pytree, kept: dict[str, Tensor], features: Tensor) -> Tensor:
        """[N, classes] from features [N, D]; `kept` holds "count" [classes], "sum" and "squares" [classes, D]."""

    def episode_update(self, network: Network, meta: Pytree, carry: Pytree, episode: Trajectory) -> Update:
        def places(y: Tensor) -> Tensor:
            return (y.unsqueeze(-1) == episode.classes).to(torch.int64).argmax(-1)

        learned_y, query_y = places(episode.y.flatten(0, 1)), places(episode.query_y)

        def objective(meta: Pytree) -> tuple[Tensor, Tensor]:
            features = network(meta["params"], torch.cat([episode.x.flatten(0, 1), episode.query_x])).flatten(1)
            learned, queries = features.split([len(learned_y), len(query_y)])
            nothing = _nothing(len(episode.classes), features)
            outputs = self.scores(meta, _with(nothing, learned, learned_y), queries)
            return network.objective.loss(outputs, query_y), outputs

        gradient, (loss, outputs) = grad_and_value(objective, has_aux=True)(meta)
        return Update(gradient, carry, metrics_of(network, loss, outputs, query_y))

    def prepare(self, network: Network, meta: Pytree, x: Tensor) -> Pytree:
        return network(meta["params"], x).flatten(1)

    def begin(self, network: Network, meta: Pytree, fresh: Tensor, given: Pytree) -> Pytree:
        return _nothing(len(fresh), given)

    def learn(self, network: Network, meta: Pytree, fast: Pytree, given: Pytree, y: Tensor, rate: Tensor) -> Pytree:
        return _with(fast, given, y)

    def predict(self, network: Network, meta: Pytree, fast: Pytree, given: Pytree) -> Tensor:
        return self.scores(meta, fast, given)


def _nothing(classes: int, features: Tensor) -> dict[str, Tensor]:
    zeros = features.new_zeros(classes, features.shape[1], dtype=torch.float64)
    return {"count": features.new_zeros(classes), "sum": zeros, "squares": zeros}


def _with(kept: dict[str, Tensor], features: Tensor, y: Tensor) -> dict[str, Tensor]:
    classes = torch.arange(len(kept["count"]), device=y.device)
    member, features = (y == classes.unsqueeze(1)).double(), features.double()  # [classes, N], [N, D]
    return {
        "count": kept["count"] + member.sum(1).to(kept["count"].dtype),
        "sum": kept["sum"] + member @ features,
        "squares": kept["squares"] + member @ features.square(),
    }


@dataclass(frozen=True, kw_only=True)
class Prototypes(Statistics):
    """Minus the squared distance to the mean feature of each class."""

    def scores(self, meta: Pytree, kept: dict[str, Tensor], features: Tensor) -> Tensor:
        means, exact = kept["sum"] / kept["count"].clamp(min=1).unsqueeze(1), features.double()
        distances = exact.square().sum(1, keepdim=True) - 2 * exact @ means.T + means.square().sum(1)
        return torch.where(kept["count"] > 0, -distances.to(features.dtype), UNKNOWN)


@dataclass(frozen=True, kw_only=True)
class GeMCL(Statistics):
    """Log predictive density under a normal model of each class.

    Attributes:
        prior_a, prior_b: shape and rate of the Gamma prior of the precisions, where they start.
    """

    prior_a: Positive
    prior_b: Positive

    def init(self, network: Network, params: Params) -> Pytree:
        leaf = next(iter(params.values()))
        prior = {"log_a": leaf.new_tensor(math.log(self.prior_a)), "log_b": leaf.new_tensor(math.log(self.prior_b))}
        return {**super().init(network, params), "prior": prior}

    def scores(self, meta: Pytree, kept: dict[str, Tensor], features: Tensor) -> Tensor:
        count = kept["count"].clamp(min=1).unsqueeze(1)  # [classes, 1]
        mean = kept["sum"] / count
        deviations = (kept["squares"] - count * mean.square()).clamp(min=0).to(features.dtype)
        mean = mean.to(features.dtype)
        a = meta["prior"]["log_a"].exp() + count / 2
        b = meta["prior"]["log_b"].exp() + deviations / 2
        freedom, scale = 2 * a, b * (count + 1) / (a * count)  # [classes, 1], [classes, D] squared
        half, width = (freedom + 1) / 2, features.shape[1]
        constant = width * (torch.lgamma(half) - torch.lgamma(freedom / 2) - (freedom * math.pi).log() / 2).squeeze(1)
        constant = constant - scale.log().sum(1) / 2
        spread = (freedom * scale).unsqueeze(0)
        at_once = max(1, LARGEST // spread.numel())
        parts = [((part.unsqueeze(1) - mean).square() / spread).log1p().sum(-1) for part in features.split(at_once)]
        return torch.where(kept["count"] > 0, constant - half.squeeze(1) * torch.cat(parts), UNKNOWN)

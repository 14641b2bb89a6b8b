"""GeMCL: the features of a class are normal, with the class's own mean and precisions (Banayeeanzade et al. 2021, Generative vs
Discriminative, NeurIPS), with a prior of the precisions that is meta-learned.

    metacl-run algo=gemcl data=omniglot

Take feature d of a class with n examples, mean m and sum of squared deviations s. The prior is precision ~ Gamma(a, b) and
mean | precision ~ normal with variance 1 / (k precision) in the limit k -> 0. (This density of the mean grows with the square
root of the precision; a flat density would give n - 1 in place of the first n below.) Then

    precision | examples ~ Gamma(a + n / 2, b + s / 2)
    p(x | examples) = Student t with 2a + n degrees of freedom at m, squared scale (b + s / 2) (n + 1) / ((a + n / 2) n)

The score of the class is the sum over d of log p(x_d | examples). Meta-training minimises the cross-entropy of these scores
on the queries of a trajectory, by an ordinary gradient.

Differences from the papers:
 1. The prior is one Gamma for all features, starting at a = 100, b = 1000, and learned with the representation, as in Lee et
    al. 2024 (arXiv 2405.18758), here as logarithms. GeMCL's code keeps these numbers in meta-training, and fits a and b to the
    variances within classes before an evaluation.
 2. The scale has the factor (n + 1) / n, since the mean is an estimate; GeMCL's released code leaves it out. (The code of Lee
    et al. takes the whole logarithm of the squared scale; the density has half of it.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, TypedDict

from annotated_types import Ge
from torch import Tensor

from metacl_run.algorithms.meta_continual.class_scores import WORKING, log_densities
from metacl_run.algorithms.meta_continual.class_sums import (
    ClassSums,
    ClassSumsLearner,
)
from metacl_run.algorithms.meta_continual.refuse_targets import refuse_functions
from metacl_run.algorithms.meta_continual.trajectory_learner import TrajectoryLearner
from metacl_run.algorithms.meta_continual.trajectory_update import trajectory_update
from metacl_run.algorithms.meta_learner import Meta, Update
from metacl_run.core.bounds import Classes, Examples, Hint, Positive, Steps
from metacl_run.core.errors import require
from metacl_run.core.types import Params, Pytree, Trajectory
from metacl_run.models.network import Network


class GammaPrior(TypedDict):
    """Logarithms of shape and rate of the Gamma prior of the precisions, scalars."""

    log_a: Tensor
    log_b: Tensor


class GemclMeta(Meta):
    """The parameters of the representation, and the prior."""

    prior: GammaPrior


@dataclass(frozen=True, kw_only=True)
class GeMCL(TrajectoryLearner):
    """Log predictive density under a normal model of each class.

    Attributes:
        prior_a, prior_b: start values of shape and rate of the Gamma prior of the precisions.
    """

    classes: Annotated[Classes, Ge(2), Hint("to tell them apart")]
    class_steps: Steps
    query_examples: Annotated[Examples, Hint("the loss is taken on them")]
    prior_a: Positive
    prior_b: Positive

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.remember == 0, "remember", self.remember, "must be 0: the scores are of the trajectory's classes alone")

    @property
    def sequence_learner(self) -> ClassSumsLearner:
        return ClassSumsLearner(scores=scores, working_numbers=WORKING)

    def num_outputs(self, outputs: int) -> int | None:
        return None

    def init(self, network: Network, params: Params) -> GemclMeta:
        refuse_functions("GeMCL", network.objective)
        leaf = next(iter(params.values()))
        log_a, log_b = (leaf.new_tensor(math.log(start)) for start in (self.prior_a, self.prior_b))
        return {"params": params, "prior": {"log_a": log_a, "log_b": log_b}}

    def episode_update(self, network: Network, meta: Pytree, carry: Pytree, episode: Trajectory) -> Update:
        return trajectory_update(network, meta, carry, episode, self.sequence_learner)


def scores(meta: GemclMeta, sums: ClassSums, features: Tensor) -> Tensor:
    """See `class_sums.Scores`."""
    return log_densities(sums, features, meta["prior"]["log_a"].exp(), meta["prior"]["log_b"].exp())

"""A learner of a representation. At meta-test a head is learned on it, by SGD or Adam or in closed form.

`test_head` says how, for any representation that was learned with a head:

  sgd     plain SGD on the groups `test_plastic`, at a rate (`sequence_sgd.py`): what the papers of OML and ANML evaluate
  adam    Adam on them (`sequence_adam.py`): what their released code evaluates, with rates about a thirtieth of SGD's
  ncm     nearest class mean (Mensink et al. 2013)
  gemcl   the class with the highest predictive density where the features of a class are normal (Banayeeanzade et al. 2021)
  ridge   ridge regression of the classes, or of real targets (`ridge_head.py`)

The last three need no learning rate and no gradient, do not depend on the order of the examples, and forget nothing. On a
meta-learned representation, what they score below SGD is not in the representation itself; what they score above SGD, SGD loses
while it learns.

Differences from GeMCL: its prior of the precisions, Gamma(a, b), is meta-learned with the representation, and here there is
none to learn with it. a is `PRIOR_SHAPE`; b is a times the variance of each feature within the classes learned so far, all
classes together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from torch import Tensor

from metacl_run.algorithms.meta_continual.class_scores import WORKING, distance_scores, log_densities, squared_deviations
from metacl_run.algorithms.meta_continual.class_sums import ClassSums, ClassSumsLearner
from metacl_run.algorithms.meta_continual.refuse_targets import refuse_functions
from metacl_run.algorithms.meta_continual.ridge_head import RidgeHead
from metacl_run.algorithms.meta_continual.sequence_adam import SequenceAdam
from metacl_run.algorithms.meta_continual.sequence_learner import SequenceLearner
from metacl_run.algorithms.meta_continual.sequence_sgd import SequenceSgd
from metacl_run.algorithms.meta_continual.trajectory_learner import TrajectoryLearner
from metacl_run.core.bounds import AT_EVALUATION, NoEffectWith, Positive
from metacl_run.core.types import Params, Pytree
from metacl_run.models.network import Network

PRIOR_SHAPE = 10.0
"""The precision of a feature in a class counts as if 20 examples of other classes had been seen."""
LEAST_SHARE = 1e-3
"""Least variance of a feature, as a share of the mean over features: a unit that is always 0 has none."""


@dataclass(frozen=True, kw_only=True)
class HeadTested(TrajectoryLearner):
    """The settings of meta-test.

    Attributes:
        inner_lr, test_plastic, redraw: see `sequence_sgd.SequenceSgd`.
        test_head: how the head is learned at meta-test and in probes.
        test_ridge: strength of ridge regression, as a share of the mean square of the features.
    """

    inner_lr: Positive
    test_head: Annotated[Literal["sgd", "adam", "ncm", "gemcl", "ridge"], AT_EVALUATION]
    test_ridge: Annotated[Positive, AT_EVALUATION, NoEffectWith("test_head", ("sgd", "adam", "ncm", "gemcl"))]
    test_plastic: Annotated[list[str], AT_EVALUATION]
    redraw: bool

    @property
    def sgd(self) -> SequenceSgd:
        """Learning by SGD: of training trajectories, and at meta-test with test_head=sgd."""
        return SequenceSgd(self.inner_lr, self.test_plastic, self.redraw, self.step_examples)

    @property
    def sequence_learner(self) -> SequenceLearner:
        if self.test_head == "sgd":
            return self.sgd
        if self.test_head == "adam":
            return SequenceAdam(self.sgd)
        if self.test_head == "ridge":
            return RidgeHead(self.test_ridge)
        if self.test_head == "ncm":
            return ClassSumsLearner(scores=distance_scores)
        return ClassSumsLearner(scores=pooled_densities, working_numbers=WORKING)

    def fresh_width(self, network: Network, params: Params) -> int:
        """Those of SGD, for whatever head: training may redraw outputs, and equal seeds draw equal trajectories."""
        return self.sgd.fresh_width(network, params)

    def check_test(self, network: Network, params: Params) -> None:
        """Raises ConfigError where meta-test cannot learn with this network or objective."""
        self.sgd.check(network, params)
        if self.test_head in ("ncm", "gemcl"):
            refuse_functions(f"test_head={self.test_head}", network.objective)


def pooled_densities(meta: Pytree, sums: ClassSums, features: Tensor) -> Tensor:
    """See `class_sums.Scores`, and "Differences from GeMCL" above."""
    freedom = (sums.number - 1).clamp(min=0).sum().clamp(min=1)
    variance = (squared_deviations(sums).sum(0) / freedom).to(features.dtype)
    variance = variance + LEAST_SHARE * variance.mean() + 1e-12
    shape = features.new_tensor(PRIOR_SHAPE)
    return log_densities(sums, features, shape, shape * variance)

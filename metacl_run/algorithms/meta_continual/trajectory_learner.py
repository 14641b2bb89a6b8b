"""The interface of a learner under protocol `meta_continual`.

An algorithm is settings plus pure functions of explicit state, written for ONE replicate and ONE trajectory; the axes are added
from outside. It has two parts. Meta-training, in this file, follows `meta_learner.py` on trajectories. At meta-test, its
`sequence_learner` learns long sequences with the meta-learned parameters.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar

from metacl_run.algorithms.meta_continual.sequence_learner import SequenceLearner
from metacl_run.algorithms.meta_learner import Meta, MetaLearner, MetaState, Update
from metacl_run.core.bounds import Classes, Examples, ExamplesFromZero, StepsFromZero
from metacl_run.core.errors import require
from metacl_run.core.types import Params, Pytree, Trajectory
from metacl_run.models.network import Model, Network
from metacl_run.scoring.objectives import Objective


@dataclass(frozen=True, kw_only=True)
class TrajectoryLearner(MetaLearner):
    """A learner whose unit of work is a meta-update on trajectories. If the data are functions, "class" means function.

    Attributes:
        classes: classes of a training trajectory, one after another.
        class_steps: steps on each class.
        step_examples: examples in a step; 1: one at a time.
        query_examples: further examples of each of these classes in the outer loss; null: the learned examples.
        remember: examples of any classes in the outer loss, drawn at random: they must not be forgotten.
        halves: draw trajectories from the second half of the meta-train classes and `remember` from the first, as OML's code
            does; false: both from all.
    """

    classes: Classes
    class_steps: StepsFromZero
    step_examples: Examples
    query_examples: ExamplesFromZero | None
    remember: ExamplesFromZero
    halves: bool

    trains: ClassVar[bool] = True
    """Whether there is anything to meta-train."""

    def __post_init__(self) -> None:
        learned = self.class_steps * self.step_examples
        queries = learned if self.query_examples is None else self.query_examples
        none = "leaves nothing for the outer loss: ask for query_examples, or for more to remember"
        require(queries * self.classes + self.remember >= 1, "remember", self.remember, none)

    @property
    def examples_per_class(self) -> int:
        """Different examples of a class that a trajectory needs."""
        return self.class_steps * self.step_examples + (self.query_examples or 0)

    # ------------------------------------------------------------------------------------------- what a method defines

    @property
    @abc.abstractmethod
    def sequence_learner(self) -> SequenceLearner:
        """The learner of meta-test."""

    def num_outputs(self, outputs: int) -> int | None:
        """Returns how many outputs the network needs for this number of classes or target dimensions; None: features without a
        head. Default: as many."""
        return outputs

    def fresh_width(self, network: Network, params: Params) -> int:
        """Returns how many random numbers come with each class of a trajectory, and with each output at meta-test: new weights,
        or noise. Default: those of the learner of meta-test."""
        return self.sequence_learner.fresh_width(network, params)

    def model_of(self, model: Model, objective: Objective) -> Model:
        """Returns the model that is learned: the chosen one, or one that the method builds from it. Default: the chosen one.

        Raises:
            ConfigError: the method cannot learn with this objective.
        """
        return model

    @abc.abstractmethod
    def init(self, network: Network, params: Params) -> Meta:
        """Returns the meta-learned parameters of one replicate before meta-training.

        Raises:
            ConfigError: the method cannot learn with this network or objective.
        """

    @abc.abstractmethod
    def episode_update(self, network: Network, meta: Pytree, carry: Pytree, episode: Trajectory) -> Update:
        """Computes the contribution of one training trajectory."""

    # --------------------------------------------------------------------------------------------------- common to all

    def start(self, network: Network, params: Params) -> MetaState:
        """Returns the state of one replicate before its first meta-update."""
        return self.first_state(self.init(network, params), {})

"""The interface of a learner under protocol `meta_continual`: what it meta-learns on, and how it learns a long sequence.

An algorithm is settings plus pure functions of explicit state, written for ONE replicate and ONE trajectory; the axes are added
from outside. Meta-training follows `meta_learner.py` on trajectories. At meta-test the protocol calls

    given = prepare(x)                 once for every image: whatever does not change while a sequence is learned
    fast = begin(fresh, given)         the state of one sequence
    fast = learn(fast, given, y)       examples in the order in which they come, some at a call, never again
    outputs = predict(fast, given)

for all orders and rates at once.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from metacl_run.algorithms.meta_learner import MetaLearner, State, Update
from metacl_run.core.bounds import Classes, Examples, ExamplesFromZero, Positive, StepsFromZero
from metacl_run.core.errors import ConfigError, require
from metacl_run.core.types import Params, Pytree, Trajectory
from metacl_run.inner import implicit_head
from metacl_run.models.base import Cut, Network
from metacl_run.scoring.objectives import CLASSIFICATION


@dataclass(frozen=True, kw_only=True)
class TrajectoryLearner(MetaLearner):
    """A learner whose unit of work is a meta-update on trajectories. A class may be a function here. Common to all:

    Attributes:
        classes: classes of a training trajectory, one after another.
        class_steps: steps on each class.
        step_examples: examples in a step; 1: one at a time.
        query_examples: further examples of each of these classes in the outer loss; null: those that were learned.
        remember: examples of any classes in the outer loss, drawn at random: what must not be forgotten.
        halves: draw trajectories from the second half of the meta-train classes and what to remember from the first, as OML's
            code does; false: both from all.
    """

    classes: Classes
    class_steps: StepsFromZero
    step_examples: Examples
    query_examples: ExamplesFromZero | None
    remember: ExamplesFromZero
    halves: bool

    def __post_init__(self) -> None:
        learned = self.class_steps * self.step_examples
        queries = learned if self.query_examples is None else self.query_examples
        none = "leaves nothing for the outer loss: ask for query_examples, or for more to remember"
        require(queries * self.classes + self.remember >= 1, "remember", self.remember, none)

    @property
    def examples_per_class(self) -> int:
        """Different examples of a class that a trajectory needs."""
        return self.class_steps * self.step_examples + (self.query_examples or 0)

    trains: ClassVar[bool] = True
    """Whether there is anything to meta-train."""
    uses_rate: ClassVar[bool] = True
    """Whether learning a sequence takes a learning rate, to be chosen."""

    # ------------------------------------------------------------------------------------------- what a method defines

    @abc.abstractmethod
    def num_outputs(self, outputs: int) -> int | None:
        """Outputs the network needs where `outputs` classes or dimensions are asked for; None: features without a head."""

    @abc.abstractmethod
    def init(self, network: Network, params: Params) -> Pytree:
        """What is meta-learned, of one replicate: {"params": ...} and more.

        Raises:
            ConfigError: the network does not do.
        """

    @abc.abstractmethod
    def episode_update(self, network: Network, meta: Pytree, carry: Pytree, episode: Trajectory) -> Update:
        """What one training trajectory contributes."""

    def fresh_width(self, network: Network, params: Params) -> int:
        """How many random numbers each output needs for new weights; 0: none."""
        return 0

    @abc.abstractmethod
    def prepare(self, network: Network, meta: Pytree, x: Tensor) -> Pytree:
        """See above; [N, ...] inputs -> tensors [N, ...]."""

    @abc.abstractmethod
    def begin(self, network: Network, meta: Pytree, fresh: Tensor, given: Pytree) -> Pytree:
        """The state before a sequence; `fresh` is [outputs, fresh_width] standard normal, `given` only shows shapes."""

    @abc.abstractmethod
    def learn(self, network: Network, meta: Pytree, fast: Pytree, given: Pytree, y: Tensor, rate: Tensor) -> Pytree:
        """The state after [N, ...] examples in order, `step_examples` of them a step."""

    @abc.abstractmethod
    def predict(self, network: Network, meta: Pytree, fast: Pytree, given: Pytree) -> Tensor:
        """Outputs [N, outputs]."""

    # --------------------------------------------------------------------------------------------------- common to all

    def start(self, network: Network, params: Params) -> State:
        """The state of one replicate before its first meta-update."""
        return self.first_state(self.init(network, params), {})


@dataclass(frozen=True, kw_only=True)
class SgdLearner(TrajectoryLearner):
    """Learns a sequence by plain SGD on part of its parameters.

    Attributes:
        inner_lr: rate of SGD on the mean loss of a step; while meta-learning, and in probes. Meta-test may choose another.
        test_plastic: groups of parameters, attributes of the network, that learn at meta-test.
        redraw: weights of the last layer start afresh, Kaiming-normal with offset 0: in meta-training those of the outputs that
            a trajectory is about (their offsets stay), which stay in the network and are updated with it; at meta-test all.
    """

    inner_lr: Positive
    test_plastic: list[str]
    redraw: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        alone = "must be at least 2 with remember=0: the loss on one class alone cannot tell what is lost"
        require(self.classes >= 2 or self.remember >= 1, "classes", self.classes, alone)

    def num_outputs(self, outputs: int) -> int | None:
        return outputs

    def init(self, network: Network, params: Params) -> Pytree:
        cut_at(network, params, self.test_plastic, "test_plastic")
        if self.redraw and network.objective is not CLASSIFICATION:
            raise ConfigError("algo.redraw=true: what is learned are functions, which have no outputs of their own. Use false.")
        return {"params": params}

    def fresh_width(self, network: Network, params: Params) -> int:
        return params[self._test_cut(network, params).last[0]].shape[1] if self.redraw else 0

    def _test_cut(self, network: Network, params: Params) -> Cut:
        return cut_at(network, params, self.test_plastic, "test_plastic")

    def prepare(self, network: Network, meta: Pytree, x: Tensor) -> Pytree:
        return self._test_cut(network, meta["params"]).before(meta["params"], x)

    def begin(self, network: Network, meta: Pytree, fresh: Tensor, given: Pytree) -> Pytree:
        cut = self._test_cut(network, meta["params"])
        fast = cut.plastic(meta["params"])
        if not self.redraw:
            return fast
        weight, bias = cut.last
        return {**fast, weight: kaiming(fresh).to(fast[weight].dtype), bias: torch.zeros_like(fast[bias])}

    def learn(self, network: Network, meta: Pytree, fast: Pytree, given: Pytree, y: Tensor, rate: Tensor) -> Pytree:
        cut, size = self._test_cut(network, meta["params"]), self.step_examples
        given, y = tree_map(lambda leaf: leaf.unflatten(0, (-1, size)), (given, y))
        return implicit_head.learn(cut, {**meta["params"], **fast}, given, y, rate=rate)

    def predict(self, network: Network, meta: Pytree, fast: Pytree, given: Pytree) -> Tensor:
        return self._test_cut(network, meta["params"]).after({**meta["params"], **fast}, given)


def cut_at(network: Network, params: Params, plastic: Sequence[str], field: str) -> Cut:
    """The network cut before these groups, which the setting `field` names."""
    try:
        return Cut(network, params, plastic)
    except ConfigError as error:
        raise ConfigError(str(error).replace("algo.plastic=", f"algo.{field}=")) from None


def kaiming(fresh: Tensor) -> Tensor:
    """Standard normal [outputs, width] -> weights of a linear layer, normal with variance 2 / width (He et al. 2015)."""
    return fresh * math.sqrt(2 / fresh.shape[-1])


def redrawn(name: str, state: State, episodes: Trajectory) -> State:
    """`state` with new weights, from `episodes.fresh` [E, ...], of the outputs that its trajectories are about.

    Args:
        name: of the last layer's weights.
    """
    params = state["meta"]["params"]
    weight = params[name]
    for classes, fresh in zip(episodes.classes.unbind(0), episodes.fresh.unbind(0), strict=True):
        weight = weight.scatter(0, classes.unsqueeze(1).expand_as(fresh), kaiming(fresh).to(weight.dtype))
    return {**state, "meta": {**state["meta"], "params": {**params, name: weight}}}

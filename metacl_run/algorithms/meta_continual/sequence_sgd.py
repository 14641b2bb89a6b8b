"""Learns a sequence by plain SGD on part of a network's parameters; shared by the methods that do so at meta-test."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from metacl_run.algorithms.meta_continual.sequence_learner import SequenceLearner
from metacl_run.algorithms.meta_learner import MetaState
from metacl_run.core.errors import ConfigError, require
from metacl_run.core.types import Params, Pytree, Trajectory
from metacl_run.inner import implicit_head
from metacl_run.models.network import Network
from metacl_run.models.split_network import SplitNetwork
from metacl_run.scoring.objectives import CLASSIFICATION


@dataclass(frozen=True)
class SequenceSgd(SequenceLearner):
    """Plain SGD, one step for every `step_examples` examples.

    Attributes:
        inner_lr: rate of SGD on the mean loss of a step; while meta-learning, and in probes. Meta-test may choose another.
        test_plastic: groups of parameters, attributes of the network, that learn at meta-test.
        redraw: draw new weights for the last layer, Kaiming-normal with offset 0. In meta-training, only for the outputs of a
            trajectory's classes (their offsets stay); these weights stay in the network and are updated with it. At meta-test,
            for all outputs.
        step_examples: examples in a step.
    """

    inner_lr: float
    test_plastic: list[str]
    redraw: bool
    step_examples: int

    @property
    def own_rate(self) -> float:
        return self.inner_lr

    def check(self, network: Network, params: Params) -> None:
        """Raises ConfigError where the network cannot be split so, or `redraw` has no outputs to draw anew."""
        self.split(network, params)
        if self.redraw and network.objective is not CLASSIFICATION:
            raise ConfigError("algo.redraw=true: the data are functions, which have no outputs of their own. Use false.")

    def split(self, network: Network, params: Params) -> SplitNetwork:
        """Returns the network, split before the part that learns at meta-test."""
        return SplitNetwork(network, params, self.test_plastic, "test_plastic")

    def fresh_width(self, network: Network, params: Params) -> int:
        return params[self.split(network, params).last[0]].shape[1] if self.redraw else 0

    def prepare(self, network: Network, meta: Pytree, x: Tensor) -> Pytree:
        return self.split(network, meta["params"]).frozen(meta["params"], x)

    def begin(self, network: Network, meta: Pytree, fresh: Tensor, prepared: Pytree) -> Params:
        split = self.split(network, meta["params"])
        fast = split.plastic(meta["params"])
        if not self.redraw:
            return fast
        weight, bias = split.last
        return {**fast, weight: kaiming(fresh).to(fast[weight].dtype), bias: torch.zeros_like(fast[bias])}

    def learn(self, network: Network, meta: Pytree, fast: Params, prepared: Pytree, y: Tensor, rate: Tensor) -> Params:
        split = self.split(network, meta["params"])
        prepared, y = tree_map(lambda leaf: leaf.unflatten(0, (-1, self.step_examples)), (prepared, y))
        return implicit_head.learn(split, {**meta["params"], **fast}, prepared, y, rate=rate)

    def adapted(self, fast: Params) -> Params:
        return fast

    def predict(self, network: Network, meta: Pytree, fast: Params, prepared: Pytree) -> Tensor:
        return self.split(network, meta["params"]).rest({**meta["params"], **fast}, prepared)


def require_several_classes(classes: int, remember: int) -> None:
    """Raises SettingError where the outer loss is on a single class."""
    alone = "must be at least 2 with remember=0: the loss on one class alone does not show what is forgotten"
    require(classes >= 2 or remember >= 1, "classes", classes, alone)


def kaiming(fresh: Tensor) -> Tensor:
    """Standard normal [outputs, width] -> weights of a linear layer, normal with variance 2 / width (He et al. 2015)."""
    return fresh * math.sqrt(2 / fresh.shape[-1])


def redraw_outputs(weight_name: str, state: MetaState, episodes: Trajectory) -> MetaState:
    """Returns `state` with new weights, from `episodes.fresh` [E, ...], of the outputs of its trajectories' classes.

    Args:
        weight_name: of the last layer.
    """
    params = state["meta"]["params"]
    weight = params[weight_name]
    for classes, fresh in zip(episodes.classes.unbind(0), episodes.fresh.unbind(0), strict=True):
        weight = weight.scatter(0, classes.unsqueeze(1).expand_as(fresh), kaiming(fresh).to(weight.dtype))
    return {**state, "meta": {**state["meta"], "params": {**params, weight_name: weight}}}

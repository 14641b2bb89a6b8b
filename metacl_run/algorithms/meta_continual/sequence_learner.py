"""The interface of learning a long sequence at meta-test, after meta-training is over.

The protocol calls, for all orders and rates at once,

    prepared = prepare(x)                once for every example: whatever does not change while a sequence is learned
    fast = begin(fresh, prepared)        the state before a sequence
    fast = learn(fast, prepared, y)      examples in the order in which they come, some at a call, never again
    outputs = predict(fast, prepared)

Functions of explicit state, written for ONE replicate and ONE sequence; the axes are added from outside.
"""

from __future__ import annotations

import abc

from torch import Tensor

from metacl_run.core.types import Params, Pytree
from metacl_run.models.network import Network


class SequenceLearner(abc.ABC):
    """How a meta-learned network learns a long sequence."""

    @property
    def own_rate(self) -> float | None:
        """The rate in probes; meta-test may choose another. Default: None, learning takes no rate."""
        return None

    @property
    def working_numbers(self) -> int:
        """Numbers in memory during one prediction, besides inputs, state and outputs. Default: few."""
        return 0

    def fresh_width(self, network: Network, params: Params) -> int:
        """How many random numbers each output has, and each class or function of a training trajectory: new weights, or
        noise. Default: 0, none."""
        return 0

    @abc.abstractmethod
    def prepare(self, network: Network, meta: Pytree, x: Tensor) -> Pytree:
        """Computes whatever stays the same during a sequence, for inputs [N, ...]: tensors [N, ...]."""

    @abc.abstractmethod
    def begin(self, network: Network, meta: Pytree, fresh: Tensor, prepared: Pytree) -> Pytree:
        """Returns the state before a sequence.

        Args:
            fresh: [outputs, fresh_width] standard normal numbers.
            prepared: of any examples, for their shapes.
        """

    @abc.abstractmethod
    def learn(self, network: Network, meta: Pytree, fast: Pytree, prepared: Pytree, y: Tensor, rate: Tensor) -> Pytree:
        """Learns [N, ...] examples in order, `step_examples` of them a step; returns the state after them."""

    def adapted(self, fast: Pytree) -> Params:
        """Returns the network's parameters that a sequence has changed. Default: none."""
        return {}

    @abc.abstractmethod
    def predict(self, network: Network, meta: Pytree, fast: Pytree, prepared: Pytree) -> Tensor:
        """Returns outputs [N, outputs]."""

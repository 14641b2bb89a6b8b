"""Learns a sequence without a gradient, by sums over the examples of each class: nothing is forgotten, and the order does not
matter.

Shapes: C classes, D features, N examples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from metacl_run.algorithms.meta_continual.sequence_learner import SequenceLearner
from metacl_run.core.types import Pytree
from metacl_run.models.network import Network
from metacl_run.models.split_network import representation

UNKNOWN = -1e9
"""Score of a class without examples."""


class ClassSums(NamedTuple):
    """Sums over the examples of each class, in float64: their small differences matter where features are far from 0."""

    number: Tensor
    """[C] examples, in the features' own type."""
    total: Tensor
    """[C, D] sum of their features."""
    squares: Tensor
    """[C, D] sum of the squares."""

    @staticmethod
    def empty(classes: int, features: Tensor) -> ClassSums:
        """Returns the sums over no examples, for features [N, D]."""
        zeros = features.new_zeros(classes, features.shape[1], dtype=torch.float64)
        return ClassSums(features.new_zeros(classes), zeros, zeros)

    def including(self, features: Tensor, y: Tensor) -> ClassSums:
        """Returns the sums with further examples [N, D] of classes [N]."""
        classes = torch.arange(len(self.number), device=y.device)
        member, exact = (y == classes.unsqueeze(1)).double(), features.double()  # [C, N], [N, D]
        return ClassSums(
            self.number + member.sum(1).to(self.number.dtype),
            self.total + member @ exact,
            self.squares + member @ exact.square(),
        )


Scores: TypeAlias = Callable[[Pytree, ClassSums, Tensor], Tensor]
"""scores(meta, sums, features [N, D]) -> [N, C]; `UNKNOWN` for a class without examples."""


@dataclass(frozen=True, kw_only=True)
class ClassSumsLearner(SequenceLearner):
    """Adds every example to the sums of its class; predicts by `scores`.

    Attributes:
        scores: of all classes for some features.
        working_numbers: numbers that `scores` holds in memory besides features, sums and outputs.
    """

    scores: Scores
    working_numbers: int = 0

    def prepare(self, network: Network, meta: Pytree, x: Tensor) -> Tensor:
        return representation(network, meta["params"], x).flatten(1)

    def begin(self, network: Network, meta: Pytree, fresh: Tensor, prepared: Tensor) -> ClassSums:
        return ClassSums.empty(len(fresh), prepared)

    def learn(self, network: Network, meta: Pytree, fast: ClassSums, prepared: Tensor, y: Tensor, rate: Tensor) -> ClassSums:
        return fast.including(prepared, y)

    def predict(self, network: Network, meta: Pytree, fast: ClassSums, prepared: Tensor) -> Tensor:
        return self.scores(meta, fast, prepared)

"""Ridge regression of the targets on features, from sums over examples: nothing is forgotten, and the order does not matter.

    A = sum f f',  M = sum f y'        f: the features of an example and a 1, y: its target, for a class the unit vector
    W = (A + s t I)^-1 M,  t the mean of A's diagonal

so that the effect of the strength s does not depend on the scale of the features or on the number of examples.

Shapes: D features, C outputs, N examples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from metacl_run.algorithms.meta_continual.class_sums import UNKNOWN
from metacl_run.algorithms.meta_continual.sequence_learner import SequenceLearner
from metacl_run.core.types import Pytree
from metacl_run.models.network import Network
from metacl_run.models.split_network import representation
from metacl_run.scoring.objectives import CLASSIFICATION


class RidgeSums(NamedTuple):
    """Sums over examples, float64."""

    products: Tensor
    """[D + 1, D + 1] A."""
    moment: Tensor
    """[D + 1, C] M."""


@dataclass(frozen=True)
class RidgeHead(SequenceLearner):
    """Adds every example to the sums; predicts with the weights that follow from them.

    Attributes:
        strength: s.
    """

    strength: float

    def prepare(self, network: Network, meta: Pytree, x: Tensor) -> Tensor:
        features = representation(network, meta["params"], x).flatten(1)
        return torch.cat([features, torch.ones_like(features[:, :1])], 1)

    def begin(self, network: Network, meta: Pytree, fresh: Tensor, prepared: Tensor) -> RidgeSums:
        width = prepared.shape[1]
        zeros = [prepared.new_zeros(width, columns, dtype=torch.float64) for columns in (width, network.ways)]
        return RidgeSums(*zeros)

    def learn(self, network: Network, meta: Pytree, fast: RidgeSums, prepared: Tensor, y: Tensor, rate: Tensor) -> RidgeSums:
        is_class = network.objective is CLASSIFICATION
        target = y.unsqueeze(1) == torch.arange(network.ways, device=y.device) if is_class else y
        exact = prepared.double()
        return RidgeSums(fast.products + exact.T @ exact, fast.moment + exact.T @ target.double())

    def predict(self, network: Network, meta: Pytree, fast: RidgeSums, prepared: Tensor) -> Tensor:
        """The outputs [N, C]; `UNKNOWN` for a class without examples."""
        size = fast.products.diagonal().mean().clamp(min=torch.finfo(torch.float64).tiny)
        identity = torch.eye(len(fast.products), dtype=torch.float64, device=prepared.device)
        weights = torch.linalg.solve_ex(fast.products + self.strength * size * identity, fast.moment).result
        outputs: Tensor = (prepared.double() @ weights).to(prepared.dtype)
        if network.objective is not CLASSIFICATION:
            return outputs
        return torch.where(fast.moment[-1] > 0, outputs, UNKNOWN)  # the last row counts examples

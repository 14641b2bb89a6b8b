"""R2-D2: ridge regression in closed form on meta-learned features (Bertinetto et al. 2019, arXiv 1805.08136).

    metacl-run algo=r2d2 data=split_omniglot

Section 3.1 and equations 4 and 6, where X [S, D] are the features of the support set and Y are its classes as unit vectors:

    W = X' (X X' + lambda I)^-1 Y
    logits of queries with features X_q:  alpha X_q W + beta

The loss is the cross-entropy on the query set. Its gradient passes through the solution and updates the network, lambda and
alpha; beta, which is the same for all classes, does not change a softmax. The inverted matrix is [S, S], or [D, D] if S is
larger than D, which gives the same: (X' X + lambda I)^-1 X' Y.

Differences from the paper and its code (bertinetto/r2d2):
 1. Features are those of the same network as for other methods; the paper uses a wider network, and its last two blocks
    together.
 2. lambda is learned as a logarithm, so that it stays positive. It is relative, multiplied by the mean squared length of the
    support feature vectors, so that its start value does not depend on the scale of the network.
 3. train_ways and train_shots define training episodes; those of the code have 60 ways for Omniglot, 20 for CIFAR-FS, and 16
    ways and a random number of shots for miniImageNet.
 4. lambda does not depend on the number of support examples. The code divides features and targets by its square root, so that
    lambda grows with it; it keeps lambda at its start value, and has a column of ones beside the features, an offset.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypedDict

import torch
from torch import Tensor

from metacl_run.algorithms.continual_meta.closed_form_learner import ClosedFormLearner
from metacl_run.algorithms.meta_learner import Meta
from metacl_run.core.bounds import Positive
from metacl_run.core.types import Episode, Params, Pytree
from metacl_run.models.network import Network


class Ridge(TypedDict):
    """What is learned besides the network: scalars."""

    log_strength: Tensor
    """Of lambda, relative to the features."""
    scale: Tensor
    """alpha."""
    offset: Tensor
    """beta."""


class R2D2Meta(Meta):
    """The parameters of the network, and of the regression."""

    ridge: Ridge


@dataclass(frozen=True, kw_only=True)
class R2D2(ClosedFormLearner):
    """Ridge regression on a support set.

    Attributes:
        strength: start value of lambda, as a share of the mean squared length of the features.
        scale: start value of alpha.
    """

    strength: Positive
    scale: Positive

    def init(self, network: Network, params: Params, rates: Tensor) -> tuple[R2D2Meta, Pytree]:
        network.refuse_real_targets(self, "algo=maml, or another with inner steps")
        leaf = next(iter(params.values()))
        values = {"log_strength": math.log(self.strength), "scale": self.scale, "offset": 0.0}
        ridge = {name: leaf.new_tensor(value) for name, value in values.items()}
        return {"params": params, "ridge": ridge}, {}  # type: ignore[typeddict-item]

    def summary(self, network: Network, meta: Pytree, episode: Episode, ways: int) -> Tensor:
        """The weights [D, ways], the solution on the support set."""
        features = network(meta["params"], episode.support_x).flatten(1)
        targets = (episode.support_y.unsqueeze(1) == torch.arange(ways, device=features.device)).to(features.dtype)
        strength = meta["ridge"]["log_strength"].exp() * features.square().sum(1).mean()
        examples, width = features.shape
        products = features @ features.T if examples <= width else features.T @ features
        identity = torch.eye(len(products), dtype=features.dtype, device=features.device)
        # An inverse, whose derivative is two products: that of `solve` reads from the card whether it succeeded.
        inverse: Tensor = torch.linalg.inv_ex(products + strength * identity).inverse
        return features.T @ (inverse @ targets) if examples <= width else inverse @ (features.T @ targets)

    def predict(self, network: Network, meta: Pytree, fast: Pytree, x: Tensor) -> Tensor:
        """Outputs [N, ways] with the weights [D, ways]."""
        features = network(meta["params"], x).flatten(1)
        outputs: Tensor = meta["ridge"]["scale"] * (features @ fast) + meta["ridge"]["offset"]
        return outputs

"""Learns a sequence by Adam on part of a network's parameters, as the released evaluations of OML and ANML do at meta-test.

Each sequence begins with a new Adam (beta1 .9, beta2 .999), whose moments are kept from step to step. The learning rate is the
one chosen for the number of classes, as with SGD. Meta-training does not change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from metacl_run.algorithms.meta_continual.sequence_learner import SequenceLearner
from metacl_run.algorithms.meta_continual.sequence_sgd import SequenceSgd
from metacl_run.core.types import Params, Pytree
from metacl_run.inner.adapt import adapt
from metacl_run.inner.optimizers import Adam
from metacl_run.models.network import Network

ADAM = Adam()
PROBE_RATE = 0.001
"""The rate in probes: inner_lr is one of SGD. Of the released candidates, 3e-2 to 1e-5, those about this one win."""


class AdamState(TypedDict):
    """The state of a sequence."""

    weights: Params
    """Of the groups that learn."""
    moments: Pytree
    """Of Adam."""


@dataclass(frozen=True)
class SequenceAdam(SequenceLearner):
    """Adam, one step for every `step_examples` examples.

    Attributes:
        sgd: which parameters learn, from where on, and on how many examples a step.
    """

    sgd: SequenceSgd

    @property
    def own_rate(self) -> float:
        return PROBE_RATE

    def fresh_width(self, network: Network, params: Params) -> int:
        return self.sgd.fresh_width(network, params)

    def prepare(self, network: Network, meta: Pytree, x: Tensor) -> Pytree:
        return self.sgd.prepare(network, meta, x)

    def begin(self, network: Network, meta: Pytree, fresh: Tensor, prepared: Pytree) -> AdamState:
        weights = self.sgd.begin(network, meta, fresh, prepared)
        return AdamState(weights=weights, moments=ADAM.init(weights))

    def learn(self, network: Network, meta: Pytree, fast: AdamState, prepared: Pytree, y: Tensor, rate: Tensor) -> AdamState:
        split = self.sgd.split(network, meta["params"])
        batches = tree_map(lambda leaf: leaf.unflatten(0, (-1, self.sgd.step_examples)), (prepared, y))
        with torch.no_grad():
            moved, moments = adapt(
                split.loss,
                {**meta["params"], **fast["weights"]},
                [tree_map(lambda leaf: leaf[step], batches) for step in range(len(batches[1]))],  # noqa: B023
                optimizer=ADAM,
                rate=rate,
                state=fast["moments"],
                plastic=list(fast["weights"]),
                first_order=True,
            )
        return AdamState(weights={name: moved[name] for name in fast["weights"]}, moments=moments)

    def adapted(self, fast: AdamState) -> Params:
        return fast["weights"]

    def predict(self, network: Network, meta: Pytree, fast: AdamState, prepared: Pytree) -> Tensor:
        return self.sgd.predict(network, meta, fast["weights"], prepared)

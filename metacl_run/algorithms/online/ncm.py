"""The nearest class mean: no gradient, one pass, fixed features.

    metacl-run algo=ncm data=split_clinc150

The mean feature of each class is the sum over its samples, divided by their number. The order of samples does not matter, so
nothing is forgotten (Mensink et al. 2013; as the classifier of iCaRL, Rebuffi et al. 2017, arXiv 1611.07725). It is the
baseline that continual learning on the features of a frozen encoder has to beat. The last layer of the network is set from the
means m:

    euclidean   m . f - |m|^2 / 2        largest where |f - m|^2 is smallest
    cosine      m . f / |m|              largest where the angle between f and m is smallest

A class without samples is never predicted. With model=linear the features are the inputs, and also with model=text_head, since
its blocks start as the identity. With any other model they are the features of a random network.

Differences from the papers:
 1. Mensink et al. learn a metric for the distances. Here the distance is Euclidean, or the angle.
 2. In iCaRL the mean is of a class's exemplars, and the network learns. Here the mean is of all samples, and the network does
    not learn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from metacl_run.algorithms.online.stream_learner import NO_REPLAY, ReplaySpec, StreamLearner, StreamState
from metacl_run.core.errors import ConfigError
from metacl_run.core.types import Metrics, Observation, Params
from metacl_run.models.network import HEAD, Network
from metacl_run.models.split_network import SplitNetwork

UNSEEN = -1e6
"""Offset of a class without samples."""


class ClassMeansState(StreamState):
    """The network, whose last layer is computed from the sums."""

    number: Tensor
    """[outputs] float64, samples of each class so far."""
    total: Tensor
    """[outputs, features] float64, the sum of their features."""


@dataclass(frozen=True, kw_only=True)
class NearestClassMean(StreamLearner[ClassMeansState]):
    """Predicts the class whose mean feature is nearest.

    Attributes:
        distance: how nearness is measured, "euclidean" or "cosine".
    """

    distance: Literal["euclidean", "cosine"]

    def replay_spec(self, num_tasks: int) -> ReplaySpec:
        return NO_REPLAY

    def init(self, network: Network, params: Params, num_tasks: int) -> ClassMeansState:
        network.refuse_running_averages(self, "does not train the network")
        network.refuse_real_targets(self, "algo=sgd")
        split = SplitNetwork(network, params, [HEAD])
        if not split.linear:
            raise ConfigError(
                "algo: NearestClassMean sets the last layer, so that `head` must be one linear layer. Use model=linear."
            )
        outputs, features = params[split.last[0]].shape
        number, total = (torch.zeros(shape, dtype=torch.float64) for shape in ((outputs,), (outputs, features)))
        weight, bias = split.last
        unseen = {weight: torch.zeros_like(params[weight]), bias: torch.full_like(params[bias], UNSEEN)}
        return {"params": {**params, **unseen}, "number": number, "total": total}

    def observe(self, network: Network, state: ClassMeansState, observed: Observation) -> tuple[ClassMeansState, Metrics]:
        batch, split = observed.batch, SplitNetwork(network, state["params"], [HEAD])
        features = split.frozen(state["params"], batch.x).double()
        member = (batch.y == torch.arange(network.ways, device=batch.y.device).unsqueeze(1)).double()  # [outputs, B]
        number, total = state["number"] + member.sum(1), state["total"] + member @ features
        params = self._params(split, state["params"], number, total, batch.y)
        return {"params": params, "number": number, "total": total}, {"loss": network.loss(params, *batch)}

    def _params(self, split: SplitNetwork, params: Params, number: Tensor, total: Tensor, classes: Tensor) -> Params:
        """The parameters with what follows from the sums in the rows of some classes [B] of the last layer."""
        weight, bias = split.last
        mean = total[classes] / number[classes].unsqueeze(1)
        squared = mean.square().sum(1)
        if self.distance == "cosine":
            mean, squared = mean / squared.sqrt().clamp(min=1e-12).unsqueeze(1), torch.zeros_like(squared)
        rows = {weight: mean, bias: -squared / 2}
        return {
            **params,
            **{name: params[name].index_copy(0, classes, own.to(params[name].dtype)) for name, own in rows.items()},
        }

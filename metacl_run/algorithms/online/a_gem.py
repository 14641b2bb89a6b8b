"""Averaged gradient episodic memory: a step must not, to first order, raise the loss on a draw from the tasks that are over.

Chaudhry et al. 2019 (arXiv 1812.00420, equation 11). With g the gradient on the batch and g_ref that on the draw:

    g~ = g                                              if g . g_ref >= 0
    g~ = g - (g . g_ref) / (g_ref . g_ref) * g_ref      else

As long as no task is over nothing is held, and the step is plain SGD.

Differences from the paper:
 1. The memory keeps the last samples of each task; the paper's keeps the same number of every class.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad, grad_and_value
from torch.utils._pytree import tree_map

from metacl_run.algorithms.online.stream_learner import Recall, State, StreamLearner, loss_on
from metacl_run.core.bounds import Examples, Positive
from metacl_run.core.errors import require
from metacl_run.core.types import Observation, Params, Samples
from metacl_run.inner.optimizers import Sgd
from metacl_run.inner.perceptron_sgd import weighted_loss
from metacl_run.models.base import Network


@dataclass(frozen=True, kw_only=True)
class AGem(StreamLearner):
    """SGD on the stream, its gradient projected to agree with one remembered gradient.

    Attributes:
        lr: rate.
        memories_per_task: last samples kept of each task.
        replay: samples drawn for the remembered gradient, from those of all tasks that are over; all of them while they are
            fewer.
    """

    lr: Positive
    memories_per_task: Examples
    replay: Examples

    def recall(self, num_tasks: int) -> Recall:
        held = self.memories_per_task * max(1, num_tasks - 1)
        most = f"must be at most the {held} that memories_per_task={self.memories_per_task} ever holds of past tasks"
        require(self.replay <= held, "replay", self.replay, most)
        return Recall(keep="ring", capacity=self.memories_per_task * num_tasks, draws=1, size=self.replay)

    def init(self, network: Network, params: Params, num_tasks: int) -> State:
        return {"params": params}

    def observe(self, network: Network, state: State, observed: Observation) -> tuple[State, dict[str, Tensor]]:
        params = state["params"]
        gradient, loss = grad_and_value(lambda params: loss_on(network, params, observed.batch))(params)
        replay = Samples(*(part[0] for part in observed.replay))
        reference = grad(lambda params: weighted_loss(network, params, replay, observed.weight[0]))(params)
        params, _ = Sgd().update(project(gradient, reference), {}, params, self.lr)
        return {"params": params}, {"loss": loss}


def project(gradient: Params, reference: Params) -> Params:
    """The nearest to `gradient` whose product with `reference` is not negative."""
    product = _dot(gradient, reference)
    excess = torch.where(product < 0, product / _dot(reference, reference), 0.0)
    return tree_map(lambda g, r: g - excess * r, gradient, reference)


def _dot(a: Params, b: Params) -> Tensor:
    return torch.stack([(a[name] * b[name]).sum() for name in a]).sum()

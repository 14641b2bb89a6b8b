"""Memory aware synapses (MAS): a penalty on parameters, weighted by how much the outputs depend on each of them.

    metacl-run algo=mas data=rotated_mnist

Aljundi et al. 2018 (arXiv 1711.09601, equations 2 to 4). f are the outputs of the network before any softmax. At the end of a
task:

    omega <- omega + mean over samples x of the task of |d |f(x; theta)|^2 / d theta|,     theta~ <- theta
    loss = L + strength * sum of omega * (theta - theta~)^2

omega does not depend on targets. The released code of A-GEM (arXiv 1812.00420, `algo.accumulate=false
algo.importance_batch=10`) keeps the importance of the last task alone, and takes absolute values of sums over batches:

    omega <- 1 / N sum over batches of N samples of |d sum of |f(x; theta)|^2 over the batch / d theta|

Differences from the paper and its code:
 1. If tasks have their own outputs, f are the outputs of the sample's task.
 2. The samples are drawn from the task; the paper takes all of them. The released code takes the absolute value of the gradient
    of a batch, which is the same for batches of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor
from torch.func import grad, grad_and_value
from torch.utils._pytree import tree_map

from metacl_run.algorithms.online.gradient_learner import GradientLearner, GradientState, with_penalty
from metacl_run.algorithms.online.stream_learner import NO_REPLAY, ReplaySpec
from metacl_run.core.bounds import Examples, Hint, Positive
from metacl_run.core.errors import require
from metacl_run.core.types import Metrics, Observation, Params, Samples
from metacl_run.inner.single_samples import mean_over_samples
from metacl_run.models.network import Network


class MasState(GradientState):
    """The parameters and the terms of the penalty, all of the same shape."""

    reference: Params
    """theta~, the parameters at the end of the last task; at first the initial ones, which have no effect, since omega is 0."""
    omega: Params


@dataclass(frozen=True, kw_only=True)
class MemoryAwareSynapses(GradientLearner[MasState]):
    """SGD with a quadratic penalty, weighted by the sensitivity of the outputs.

    Attributes:
        strength: factor of the penalty (lambda).
        importance_samples: samples of a task on which omega is estimated.
        importance_batch: samples whose gradients are summed before the absolute value is taken.
        accumulate: whether omega is the sum over all tasks; else it is that of the last task.
    """

    strength: Annotated[Positive, Hint("without a penalty, algo=sgd")]
    importance_samples: Examples
    importance_batch: Examples
    accumulate: bool

    consolidation_setting: ClassVar[str | None] = "importance_samples"

    def __post_init__(self) -> None:
        super().__post_init__()
        samples, batch = self.importance_samples, self.importance_batch
        whole = f"must divide importance_samples={samples} into batches"
        require(samples % batch == 0, "importance_batch", batch, whole)

    def replay_spec(self, num_tasks: int) -> ReplaySpec:
        return NO_REPLAY

    def init(self, network: Network, params: Params, num_tasks: int) -> MasState:
        return {**self.start(params), "reference": params, "omega": tree_map(torch.zeros_like, params)}

    def observe(self, network: Network, state: MasState, observed: Observation) -> tuple[MasState, Metrics]:
        params = state["params"]
        gradient, loss = grad_and_value(network.loss)(params, *observed.batch)
        gradient = with_penalty(gradient, params, state["reference"], state["omega"], self.strength)
        return self.step(gradient, state, self.lr_at(observed)), {"loss": loss}

    def end_task(self, network: Network, state: MasState, samples: Samples) -> MasState:
        params = state["params"]

        def squared_length(params: Params, batch: Samples) -> Tensor:
            outputs = network(params, batch.x)
            own = outputs if network.masks is None else outputs * network.masks[batch.task]
            return own.square().sum()

        def sensitivity(batch: Samples) -> Params:
            gradient = grad(squared_length)(params, batch.at(0))  # `mean_over_samples` gives an axis of size 1
            return {name: leaf.abs() / self.importance_batch for name, leaf in gradient.items()}

        batches = samples.map(lambda part: part.unflatten(0, (-1, self.importance_batch)))
        omega = mean_over_samples(sensitivity, batches)
        if self.accumulate:
            omega = tree_map(torch.add, state["omega"], omega)
        return {**state, "reference": params, "omega": omega}

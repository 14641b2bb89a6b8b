"""Meta-experience replay: Reptile within and across batches of one new sample and what is replayed with it.

Riemer et al. 2019 (arXiv 1810.11910, algorithm 1). For each sample of the stream: draw `batches` times `replay` samples from
a reservoir; each draw, the new sample first, is gone through by SGD one sample at a time, and then

    within a batch     theta <- before + beta * (after - before)
    across batches     theta <- theta_start + gamma * (theta_end - theta_start), once after all draws

Differences from the paper:
 1. The reservoir takes sample n + 1 with probability M / (n + 1) (Vitter's algorithm R); the released code draws from one
    number more, so M / (n + 2).
 2. While the memory holds fewer than `replay` samples, all it holds is replayed.
 3. A draw is without replacement; the released code draws each sample anew, so that of 10 from 200 one comes twice in a fifth
    of the draws, of 25 in four fifths.
 4. The last test sample counts; the released evaluation never scores it, so that a perfect model gets (n - 1) / n.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Le
from torch import Tensor
from torch.utils._pytree import tree_map

from metacl_run.algorithms.online.stream_learner import Recall, State, StreamLearner
from metacl_run.core.bounds import Examples, Positive, Steps
from metacl_run.core.errors import require_all
from metacl_run.core.types import Observation, Params, Samples
from metacl_run.inner.perceptron_sgd import sgd
from metacl_run.models.base import Network


@dataclass(frozen=True, kw_only=True)
class Mer(StreamLearner):
    """Aligns the gradients of old and new samples by first-order meta-learning.

    Attributes:
        lr: rate of each SGD step.
        beta: how much of a batch's way is kept ("within batch").
        gamma: how much of the whole way of an observation is kept ("across batches").
        batches: draws for each new sample (s).
        memory: samples kept.
        replay: replayed samples in a draw (k - 1 in the paper, whose batch counts the new one).
    """

    lr: Positive
    beta: Annotated[Positive, Le(1)]
    gamma: Annotated[Positive, Le(1)]
    batches: Steps
    memory: Examples
    replay: Examples

    def __post_init__(self) -> None:
        require_all(
            (self.batch_size == 1, "batch_size", self.batch_size, "must be 1: MER learns from one new sample at a time"),
            (
                self.replay <= self.memory,
                "replay",
                self.replay,
                f"must be at most memory={self.memory}, which it is drawn from",
            ),
        )

    def recall(self, num_tasks: int) -> Recall:
        return Recall(keep="reservoir", capacity=self.memory, draws=self.batches, size=self.replay)

    def init(self, network: Network, params: Params, num_tasks: int) -> State:
        return {"params": params}

    def observe(self, network: Network, state: State, observed: Observation) -> tuple[State, dict[str, Tensor]]:
        new = Samples(*(part.unsqueeze(0).expand(self.batches, *part.shape) for part in observed.batch))
        sequence = Samples(*(torch.cat(parts, 1) for parts in zip(new, observed.replay, strict=True)))
        weight = torch.cat([torch.ones_like(observed.weight[:, :1]), observed.weight], 1)
        start = state["params"]
        one_by_one = Samples(*(part.unsqueeze(2) for part in sequence))
        end, loss = sgd(network, start, one_by_one, weight.unsqueeze(2), rate=self.lr, beta=self.beta)
        params = tree_map(lambda a, b: a + self.gamma * (b - a), start, end) if self.gamma != 1 else end
        return {"params": params}, {"loss": loss}

"""Meta-experience replay: Reptile within and across batches of one new sample and the samples replayed with it.

    metacl-run algo=mer data=rotated_mnist

Riemer et al. 2019 (arXiv 1810.11910, algorithm 1). For each sample of the stream: draw `batches` times `replay` samples from
the replay buffer; SGD takes one step on each sample of a draw, on the new one first, and then

    within a batch     theta <- before + beta * (after - before)
    across batches     theta <- theta_start + gamma * (theta_end - theta_start), once after all draws

Differences from the paper:
 1. The reservoir takes sample n + 1 with probability M / (n + 1) (Vitter's algorithm R); the released code draws from one
    number more, so M / (n + 2).
 2. While the buffer has fewer samples than `replay`, all of them are replayed.
 3. A draw is without replacement; the released code draws with replacement, so that a sample comes twice in a fifth of the
    draws of 10 from 200, and in four fifths of those of 25.
 4. The last test sample counts; the released evaluation never scores it, so that a perfect model gets (n - 1) / n.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Le
from torch.utils._pytree import tree_map

from metacl_run.algorithms.online.replay_buffer import ReplayBuffer
from metacl_run.algorithms.online.stream_learner import ReplaySpec, StreamLearner, StreamState
from metacl_run.core.bounds import Positive, Steps
from metacl_run.core.errors import require_all
from metacl_run.core.types import Metrics, Observation, Params
from metacl_run.inner.perceptron_sgd import sgd
from metacl_run.models.network import Network


@dataclass(frozen=True, kw_only=True)
class Mer(ReplayBuffer, StreamLearner[StreamState]):
    """Aligns the gradients of old and new samples by first-order meta-learning.

    Attributes:
        lr: rate of each SGD step.
        beta: share of a batch's displacement that is kept ("within batch").
        gamma: share of the whole displacement of an observation that is kept ("across batches").
        batches: draws for each new sample (s).
        replay: replayed samples in a draw (k - 1 in the paper, whose batch counts the new one).
    """

    lr: Positive
    beta: Annotated[Positive, Le(1)]
    gamma: Annotated[Positive, Le(1)]
    batches: Steps

    def __post_init__(self) -> None:
        require_all(
            (self.batch_size == 1, "batch_size", self.batch_size, "must be 1: MER learns from one new sample at a time"),
            self.replay_fits(),
        )

    def replay_spec(self, num_tasks: int) -> ReplaySpec:
        return self.buffer_spec(self.batches)

    def init(self, network: Network, params: Params, num_tasks: int) -> StreamState:
        network.refuse_running_averages(self, "takes steps on single samples")
        return {"params": params}

    def observe(self, network: Network, state: StreamState, observed: Observation) -> tuple[StreamState, Metrics]:
        one_by_one = observed.batch_with_draws().unsqueeze(2)
        start = state["params"]
        end, loss = sgd(network, start, one_by_one, rate=self.lr, beta=self.beta)
        params = tree_map(lambda a, b: a + self.gamma * (b - a), start, end) if self.gamma != 1 else end
        return {"params": params}, {"loss": loss}

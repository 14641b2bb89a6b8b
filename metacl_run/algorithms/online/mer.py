"""Meta-experience replay: Reptile within and across batches of one new sample and the samples replayed with it.

    metacl-run algo=mer data=rotated_mnist

Riemer et al. 2019 (arXiv 1810.11910, algorithm 1). For each sample of the stream, `replay` samples are drawn from the replay
buffer, `batches` times. SGD takes one step on each sample of a draw, starting with the new sample, and then

    within a batch     theta <- before + beta * (after - before)
    across batches     theta <- theta_start + gamma * (theta_end - theta_start), once after all draws

With `optimizer=adam` or momentum, the steps are those of that optimiser; its moments are kept from step to step, and are not
pulled back with theta.

Differences from the paper:
 1. The reservoir takes sample n + 1 with probability M / (n + 1) (Vitter's algorithm R); the released code takes it with M / (n
    + 2).
 2. As long as the buffer has fewer samples than `replay`, all of them are replayed.
 3. A draw is without replacement; the released code draws with replacement, so that a sample comes twice in a fifth of the
    draws of 10 from 200, and in four fifths of the draws of 25.
 4. The last test sample counts; the released evaluation never scores it, so that a perfect model gets (n - 1) / n.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Le
from torch import Tensor
from torch.func import grad_and_value

from metacl_run.algorithms.online.gradient_learner import GradientLearner, GradientState
from metacl_run.algorithms.online.replay_buffer import ReplayBuffer
from metacl_run.algorithms.online.stream_learner import ReplaySpec
from metacl_run.core.bounds import Positive, Steps
from metacl_run.core.errors import require_all
from metacl_run.core.types import Metrics, Observation, Params, WeightedSamples
from metacl_run.inner.perceptron_sgd import sgd
from metacl_run.inner.states import chosen, part_of_the_way
from metacl_run.models.network import Network


@dataclass(frozen=True, kw_only=True)
class Mer(ReplayBuffer, GradientLearner[GradientState]):
    """Aligns the gradients of old and new samples by first-order meta-learning.

    Attributes:
        beta: share of a batch's displacement that is kept ("within batch").
        gamma: share of the whole displacement of an observation that is kept ("across batches").
        batches: draws for each new sample (s).
        replay: replayed samples in a draw (k - 1 in the paper, whose batch includes the new sample).
    """

    beta: Annotated[Positive, Le(1)]
    gamma: Annotated[Positive, Le(1)]
    batches: Steps

    def __post_init__(self) -> None:
        require_all(
            *self.steps_fit(),
            (self.batch_size == 1, "batch_size", self.batch_size, "must be 1: MER learns from one new sample at a time"),
            self.replay_fits(),
        )

    def replay_spec(self, num_tasks: int) -> ReplaySpec:
        return self.buffer_spec(self.batches)

    def init(self, network: Network, params: Params, num_tasks: int) -> GradientState:
        network.refuse_running_averages(self, "takes steps on single samples")
        return self.start(params)

    def observe(self, network: Network, state: GradientState, observed: Observation) -> tuple[GradientState, Metrics]:
        one_by_one = observed.batch_with_draws().unsqueeze(2)
        start, rate = state["params"], self.lr_at(observed)
        if self.plain_sgd:
            end, loss = sgd(network, start, one_by_one, rate=rate, beta=self.beta)
            state = {"params": end}
        else:
            state, loss = self._steps(network, state, one_by_one, rate)
        if self.gamma != 1:
            state["params"] = part_of_the_way(start, state["params"], self.gamma)
        return state, {"loss": loss}

    def _steps(
        self, network: Network, state: GradientState, draws: WeightedSamples, rate: float | Tensor
    ) -> tuple[GradientState, Tensor]:
        """A step on every sample of draws [batches, replay + 1, 1] that is there, and beta after each draw."""
        total = torch.zeros_like(draws.weight[0, 0, 0])
        for number in range(draws.weight.shape[0]):
            before = state["params"]
            for place in range(draws.weight.shape[1]):
                sample = draws.at(number).at(place)
                gradient, loss = grad_and_value(network.weighted_loss)(state["params"], *sample)
                is_there = sample.weight[0] > 0
                state = chosen(is_there, self.step(gradient, state, rate), state)
                total = total + loss * sample.weight[0]
            state["params"] = part_of_the_way(before, state["params"], self.beta)
        return state, total / draws.weight.sum().clamp(min=1)

"""Gradient descent on the stream, with or without experience replay: `sgd`, `er`, `multitask`, `joint`.

    metacl-run algo=er data=rotated_mnist               # or algo=sgd, multitask, joint

  sgd        one pass over the stream without a replay buffer: the lower bound ("online")
  er         a draw from a replay buffer joins each batch (Chaudhry et al. 2019, arXiv 1902.10486, algorithm 1)
  multitask  every batch is drawn from all tasks together: an upper bound that no stream allows
  joint      every batch is drawn from all data of the tasks seen so far: the upper bound of a buffer without limit

Differences from the paper:
 1. The reservoir takes sample n + 1 with probability M / (n + 1) as Vitter's algorithm R has it; the released code of MER and
    La-MAML, whose ER this follows, takes it with M / (n + 2).
 2. The loss is the mean over batch and replayed samples together, as in La-MAML's code. As long as the buffer has fewer samples
    than `replay`, all of them are replayed.
 3. A draw is without replacement, as in the code of Chaudhry et al.; that of MER and La-MAML draws with replacement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.func import grad_and_value

from metacl_run.algorithms.online.gradient_learner import GradientLearner, GradientState
from metacl_run.algorithms.online.replay_buffer import ReplayBuffer
from metacl_run.algorithms.online.stream_learner import ReplaySpec
from metacl_run.core.bounds import ExamplesFromZero, Steps
from metacl_run.core.errors import require_all
from metacl_run.core.types import Metrics, Observation, Params, WeightedSamples
from metacl_run.inner.perceptron_sgd import sgd
from metacl_run.models.network import Network


@dataclass(frozen=True, kw_only=True)
class Replay(ReplayBuffer, GradientLearner[GradientState]):
    """Steps on batches of the stream and samples replayed with them.

    Attributes:
        updates: steps for each batch, each with a new draw ("glances").
        memory: samples in the replay buffer; 0: no buffer.
        replay: samples drawn from the buffer for each step.
        source: "stream": batches come from the stream; "seen": the batch of every step is drawn from all data of the tasks so
            far; "all": from all data of all tasks.
    """

    updates: Steps
    memory: ExamplesFromZero
    replay: ExamplesFromZero
    source: Literal["stream", "seen", "all"]

    def __post_init__(self) -> None:
        memory, replay, stream = self.memory, self.replay, self.source == "stream"
        without = f"must be 0 with source={self.source}"
        most = f"must be at most memory={memory}, which it is drawn from"
        require_all(
            *self.steps_fit(),
            (stream or memory == 0, "memory", memory, f"{without}, which needs none"),
            (stream or replay == 0, "replay", replay, f"{without}: a batch is batch_size draws"),
            (memory > 0 or self.buffer == "reservoir", "buffer", self.buffer, "must be reservoir without a replay buffer"),
            (not stream or replay <= memory, "replay", replay, most),
            (not stream or memory == 0 or replay > 0, "replay", replay, "must be at least 1 with a replay buffer"),
        )

    def replay_spec(self, num_tasks: int) -> ReplaySpec:
        if self.source == "stream":
            return self.buffer_spec(self.updates)
        return ReplaySpec(keep=self.source, capacity=0, draws=self.updates, size=self.batch_size)

    def init(self, network: Network, params: Params, num_tasks: int) -> GradientState:
        return self.start(params)

    def observe(self, network: Network, state: GradientState, observed: Observation) -> tuple[GradientState, Metrics]:
        batches = observed.batch_with_draws() if self.source == "stream" else observed.draws()
        if not self.plain_sgd:
            return self._steps(network, state, batches, self.lr_at(observed))
        params, loss = sgd(network, state["params"], batches.unsqueeze(0), rate=self.lr_at(observed))
        return {"params": params}, {"loss": loss}

    def _steps(
        self, network: Network, state: GradientState, batches: WeightedSamples, rate: float | Tensor
    ) -> tuple[GradientState, Metrics]:
        """One step on each of the batches [updates, B]; the loss is the mean over all their samples, each before its step."""
        sums = []
        for number in range(self.updates):
            batch = batches.at(number)
            gradient, loss = grad_and_value(network.weighted_loss)(state["params"], *batch)
            state = self.step(gradient, state, rate)
            sums.append(loss * batch.weight.sum())
        return state, {"loss": torch.stack(sums).sum() / batches.weight.sum().clamp(min=1)}

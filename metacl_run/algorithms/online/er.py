"""Plain SGD on the stream, with or without a memory to replay: `sgd`, `er`, `multitask`, `joint`.

  sgd        one pass over the stream, nothing remembered: the lower bound ("online")
  er         each batch is joined by a draw from a reservoir (Chaudhry et al. 2019, arXiv 1902.10486, algorithm 1)
  multitask  every batch drawn from all tasks together: an upper bound that no stream allows
  joint      every batch drawn from all data of the tasks seen so far: the upper bound that a memory without limit gives

Differences from the paper:
 1. The reservoir takes sample n + 1 with probability M / (n + 1) as Vitter's algorithm R has it; the released code of MER and
    La-MAML, whose ER this follows, draws from one number more.
 2. The loss is the mean over batch and replayed samples together, as La-MAML's code has it. As long as the memory holds less
    than `replay`, all it holds is replayed.
 3. A draw is without replacement, as in the code of Chaudhry et al.; that of MER and La-MAML draws each sample anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from metacl_run.algorithms.online.stream_learner import Recall, State, StreamLearner
from metacl_run.core.bounds import ExamplesFromZero, Positive, Steps
from metacl_run.core.errors import require_all
from metacl_run.core.types import Observation, Params, Samples
from metacl_run.inner.perceptron_sgd import sgd
from metacl_run.models.base import Network


@dataclass(frozen=True, kw_only=True)
class Replay(StreamLearner):
    """SGD on batches of the stream and what is replayed with them.

    Attributes:
        lr: rate.
        updates: SGD steps for each batch, each with a draw of its own ("glances").
        memory: samples kept; 0: none.
        replay: samples drawn for each step.
        source: "stream": batches come from the stream; "seen", "all": each step's batch is drawn from everything of the tasks
            so far, or of all tasks.
    """

    lr: Positive
    updates: Steps
    memory: ExamplesFromZero
    replay: ExamplesFromZero
    source: Literal["stream", "seen", "all"]

    def __post_init__(self) -> None:
        memory, replay, stream = self.memory, self.replay, self.source == "stream"
        without = f"must be 0 with source={self.source}"
        most = f"must be at most memory={memory}, which it is drawn from"
        require_all(
            (stream or memory == 0, "memory", memory, f"{without}, which needs none"),
            (stream or replay == 0, "replay", replay, f"{without}: a batch is batch_size draws"),
            (not stream or replay <= memory, "replay", replay, most),
            (not stream or memory == 0 or replay > 0, "replay", replay, "must be at least 1 with a memory"),
        )

    def recall(self, num_tasks: int) -> Recall:
        if self.source == "stream":
            return Recall(keep="reservoir", capacity=self.memory, draws=self.updates, size=self.replay)
        return Recall(keep=self.source, capacity=0, draws=self.updates, size=self.batch_size)

    def init(self, network: Network, params: Params, num_tasks: int) -> State:
        return {"params": params}

    def observe(self, network: Network, state: State, observed: Observation) -> tuple[State, dict[str, Tensor]]:
        samples, weight = observed.replay, observed.weight
        if self.source == "stream":
            batch = Samples(*(part.expand(self.updates, *part.shape) for part in observed.batch))
            samples = Samples(*(torch.cat(parts, 1) for parts in zip(batch, samples, strict=True)))
            weight = torch.cat([weight.new_ones(self.updates, self.batch_size), weight], 1)
        steps = Samples(*(each.unsqueeze(0) for each in samples))
        params, loss = sgd(network, state["params"], steps, weight.unsqueeze(0), rate=self.lr)
        return {"params": params}, {"loss": loss}

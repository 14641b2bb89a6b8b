"""Experience replay whose weights are pulled towards their own running average.

For every batch of the stream, `updates` times:

    loss_k = L(batch and draw k; theta)
    theta  <- theta - lr * (grad loss_k + pull * (theta - mean))
    mean   <- decay * mean + (1 - decay) * theta
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.func import grad_and_value
from torch.utils._pytree import tree_map

from metacl_run.algorithms.online.stream_learner import ReplaySpec, StreamLearner, StreamState
from metacl_run.core.bounds import Examples, Momentum, NonNegative, Positive, Steps
from metacl_run.core.types import Metrics, Observation, Params
from metacl_run.inner.optimizers import descend
from metacl_run.models.network import Network


class PullState(StreamState):
    """The weights, and their running average."""

    mean: Params


@dataclass(frozen=True, kw_only=True)
class ErPull(StreamLearner[PullState]):
    """Attributes: the settings of er_pull.yaml, every one with its bounds."""

    lr: Positive
    updates: Steps
    memory: Examples
    replay: Examples
    pull: NonNegative
    decay: Momentum

    def replay_spec(self, num_tasks: int) -> ReplaySpec:
        return ReplaySpec(keep="reservoir", capacity=self.memory, draws=self.updates, size=self.replay)

    def init(self, network: Network, params: Params, num_tasks: int) -> PullState:
        return {"params": params, "mean": params}

    def observe(self, network: Network, state: PullState, observed: Observation) -> tuple[PullState, Metrics]:
        params, mean, losses = state["params"], state["mean"], []
        for number in range(self.updates):
            joint = observed.draw(number).after(observed.batch)  # the batch, then the replayed samples
            gradient, loss = grad_and_value(network.weighted_loss)(params, *joint)
            pulled = tree_map(lambda g, p, m: g + self.pull * (p - m), gradient, params, mean)
            params = descend(pulled, params, self.lr)
            mean = tree_map(lambda m, p: self.decay * m + (1 - self.decay) * p, mean, params)
            losses.append(loss)
        return {"params": params, "mean": mean}, {"loss": torch.stack(losses).mean()}

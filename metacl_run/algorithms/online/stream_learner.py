"""The interface of a learner under protocol `online`, and what such learners share.

An algorithm is settings plus pure functions of explicit state, written for ONE replicate. The replicate axis is added from
outside by `inner/engine.py`. It draws no random numbers and holds no samples: the protocol keeps the memory as numbers of
samples, draws from it, and hands over what was drawn (`types.Observation`).
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from metacl_run.core.bounds import Examples
from metacl_run.core.types import Observation, Params, Pytree, Samples
from metacl_run.models.base import Network

State: TypeAlias = dict[str, Pytree]


@dataclass(frozen=True, kw_only=True)
class Recall:
    """What the protocol is to keep of the stream and draw for every observation.

    Attributes:
        keep: "reservoir": `capacity` samples, uniform over all that came (Vitter 1985, algorithm R); "ring": the last
            capacity // T samples of each of the tasks that are over; "seen": everything of the tasks so far, the current one
            whole; "all": everything of all tasks.
        capacity: samples; 0: nothing is kept.
        draws: independent draws for each observation (G).
        size: samples in a draw (K), without replacement.
        by_task: the draws are one for each task, draw t from what is kept of task t, instead of from everything.
            Those of tasks to come are empty, and may be left out.
    """

    keep: Literal["reservoir", "ring", "seen", "all"]
    capacity: int
    draws: int
    size: int
    by_task: bool = False


@dataclass(frozen=True, kw_only=True)
class StreamLearner(abc.ABC):
    """A learner whose unit of work is an observation of a small batch. These fields are common to all.

    Attributes:
        batch_size: samples of the stream in an observation.
    """

    batch_size: Examples

    @abc.abstractmethod
    def recall(self, num_tasks: int) -> Recall:
        """What is kept and drawn.

        Raises:
            SettingError: a setting does not fit the number of tasks.
        """

    @abc.abstractmethod
    def init(self, network: Network, params: Params, num_tasks: int) -> State:
        """The state of one replicate before its first observation; "params" is what the network predicts with."""

    @abc.abstractmethod
    def observe(self, network: Network, state: State, observed: Observation) -> tuple[State, dict[str, Tensor]]:
        """Learns from one observation; the metrics are scalars, "loss" among them."""

    @property
    def samples_at_end(self) -> int:
        """How many samples of a task `end_task` is shown, drawn at random from it."""
        return 0

    def end_task(self, network: Network, state: State, samples: Samples) -> State:
        """What happens when a task is over; `samples` is [samples_at_end]. Default: nothing."""
        return state

    def rates(self, state: State) -> Params | None:
        """The learned rate of every element of every parameter, for a method that learns them."""
        return None


def loss_on(network: Network, params: Params, samples: Samples) -> Tensor:
    """Mean cross-entropy, a scalar."""
    return cross_entropy(network(params, samples.x, samples.task), samples.y)


def joined(batch: Samples, replay: Samples, weight: Tensor) -> tuple[Samples, Tensor]:
    """The batch [B] and one draw [K] as one batch [B + K], and the weights of its samples."""
    both = Samples(*(torch.cat(parts) for parts in zip(batch, replay, strict=True)))
    return both, torch.cat([weight.new_ones(len(batch.y)), weight])

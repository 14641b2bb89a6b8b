"""The interface of a learner under `online` that itself chooses which samples to keep: its exemplars.

For other methods, seed and labels determine what is kept, before anything is learned (`ReplaySpec`). Here gradients or features
decide, so the choice is part of the state: `state["exemplars"]` has the numbers of the samples. The learner never holds a
sample; the protocol gathers the samples by these numbers. For every observation, the protocol draws from the exemplars as they
were before it; at the end of a task, it passes all of them. Start from gss.py, which chooses at every observation, or icarl.py,
which chooses at the end of a task.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from torch.func import grad_and_value

from metacl_run.algorithms.online.gradient_learner import GradientLearner, GradientState
from metacl_run.algorithms.online.replay_buffer import SampleMemory
from metacl_run.algorithms.online.stream_learner import ReplaySpec
from metacl_run.core.types import Observation, Samples, WeightedSamples
from metacl_run.models.network import Network

NOTHING = -1
"""The number in a place without an exemplar."""


class ExemplarState(GradientState):
    """The parameters, the optimiser's state, and the exemplars."""

    exemplars: Tensor
    """[memory] int64 numbers of samples (`Observation.number`); `NOTHING` if a place has none."""


State = TypeVar("State", bound=ExemplarState)


@dataclass(frozen=True, kw_only=True)
class ExemplarLearner(GradientLearner[State], SampleMemory, abc.ABC):
    """A learner with exemplars: at most `memory` of them."""

    def exemplar_spec(self, draws: int, size: int | None = None, uniforms: int = 0) -> ReplaySpec:
        """Asks for `draws` of `size` exemplars (default: `replay`) and so many uniform numbers for every sample."""
        size = self.replay if size is None else size
        return ReplaySpec(keep="exemplars", capacity=self.memory, draws=draws, size=size, uniforms=uniforms)

    def no_exemplars(self, device: torch.device) -> Tensor:
        """The exemplars before the first observation."""
        return torch.full((self.memory,), NOTHING, device=device)

    def stepped(self, network: Network, state: State, observed: Observation, updates: int) -> tuple[State, Tensor]:
        """The state after so many steps on a batch, each with a draw of `replay` exemplars, and the mean of their losses."""
        losses, rate = [], self.lr_at(observed)
        for number in range(updates):
            batch = observed.draw(number).at(slice(self.replay)).after(observed.batch)
            gradient, loss = grad_and_value(network.weighted_loss)(state["params"], *batch)
            state = self.step(gradient, state, rate)
            losses.append(loss)
        return state, torch.stack(losses).mean()

    def choose(self, network: Network, state: State, candidates: Samples, number: Tensor, exemplars: WeightedSamples) -> State:
        """Chooses exemplars when a task is over; called instead of `end_task`. Default: they do not change.

        Args:
            network: at evaluation.
            state: with the exemplars so far.
            candidates: [num_consolidation_samples] of the task, at random.
            number: [num_consolidation_samples] their numbers.
            exemplars: [memory] the samples of `state["exemplars"]`, weight 0 where a place has none.
        """
        return state

"""Learners under `online` with a quadratic penalty by a moving average of the Fisher information: what they share. The
equations are in `ewc_pp.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, cast

import torch
from annotated_types import Gt, Le
from torch import Tensor
from torch.func import grad_and_value
from torch.utils._pytree import tree_map

from metacl_run.algorithms.online.gradient_learner import GradientLearner, GradientState, with_penalty
from metacl_run.algorithms.online.stream_learner import NO_REPLAY, ReplaySpec
from metacl_run.core.bounds import Hint, Positive, Steps
from metacl_run.core.types import Metrics, Observation, Params, Samples
from metacl_run.models.network import Network


class RunningFisherState(GradientState):
    """The parameters, the penalty, and what the next penalty is made of; shaped like the parameters unless said otherwise."""

    reference: Params
    """theta~; at first the initial parameters, which have no effect, since the importance is 0."""
    importance: Params
    fisher: Params
    squares: Params
    """Sum of g^2 since F was last updated or the task began, divided by the length of an interval."""
    updates: Tensor
    """[] int64, updates of this task."""


State = TypeVar("State", bound=RunningFisherState)


@dataclass(frozen=True, kw_only=True)
class RunningFisher(GradientLearner[State]):
    """SGD with a quadratic penalty by a moving average of the Fisher information. Settings:

    Attributes:
        strength: factor of the penalty (lambda).
        interval: updates between two updates of the Fisher information.
        fisher_rate: weight of the newest squared gradients in the moving average (alpha).
    """

    strength: Annotated[Positive, Hint("without a penalty, algo=sgd")]
    interval: Steps
    fisher_rate: Annotated[float, Gt(0), Le(1)]

    def replay_spec(self, num_tasks: int) -> ReplaySpec:
        return NO_REPLAY

    def init(self, network: Network, params: Params, num_tasks: int) -> State:
        zeros, zero = tree_map(torch.zeros_like, params), next(iter(params.values())).new_zeros((), dtype=torch.int64)
        penalty = {"reference": params, "importance": zeros}
        return cast(State, {**self.start(params), **penalty, "fisher": zeros, "squares": zeros, "updates": zero})

    def observe(self, network: Network, state: State, observed: Observation) -> tuple[State, Metrics]:
        params = state["params"]
        gradient, loss = grad_and_value(network.loss)(params, *observed.batch)
        direction = with_penalty(gradient, params, state["reference"], state["importance"], self.strength)
        moved = self.step(direction, state, self.lr_at(observed))
        updates = state["updates"] + 1
        ends = (updates % self.interval == 0).to(loss.dtype)
        return cast(State, {**moved, "updates": updates, **self.updated_averages(gradient, state, moved, ends)}), {"loss": loss}

    def updated_averages(self, gradient: Params, before: State, moved: State, ends: Tensor) -> dict[str, Any]:
        """The averages and sums over training, after an update.

        Numbers in place of branches: a tensor that may change is mixed with what it changes to.

        Args:
            gradient: of the loss alone.
            before, moved: the state before the update, and with the parameters after it.
            ends: [] 1 where the update ends an interval, else 0.
        """
        mean = tree_map(lambda m, g: torch.addcmul(m, g, g, value=1 / self.interval), before["squares"], gradient)
        fisher = tree_map(lambda f, m: torch.lerp(f, m, ends * self.fisher_rate), before["fisher"], mean)
        return {"fisher": fisher, "squares": tree_map(lambda m: m * (1 - ends), mean)}

    def end_task(self, network: Network, state: State, samples: Samples) -> State:
        penalty = {"reference": state["params"], "importance": to_unit(state["fisher"])}
        begun = {"squares": tree_map(torch.zeros_like, state["squares"]), "updates": torch.zeros_like(state["updates"])}
        return cast(State, {**state, **penalty, **begun})


def to_unit(values: Params) -> Params:
    """Returns the values moved and scaled so that over all leaves the smallest is 0 and the largest 1; equal ones become 0."""
    least = torch.stack([leaf.amin() for leaf in values.values()]).amin()
    extent = torch.stack([leaf.amax() for leaf in values.values()]).amax() - least
    extent = torch.where(extent > 0, extent, 1.0)
    return {name: (leaf - least) / extent for name, leaf in values.items()}

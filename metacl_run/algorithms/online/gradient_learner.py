"""Learners under `online` that take one optimiser step for each gradient: the settings and the step that they share.

With SGD a state has the parameters alone; Adam's moments are part of the state, and go on from one task to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from metacl_run.algorithms.online.stream_learner import StreamLearner, StreamState
from metacl_run.core.bounds import Positive
from metacl_run.core.types import Params, Pytree
from metacl_run.inner.optimizers import Adam, clipped_update, descend


class GradientState(StreamState, total=False):
    """The parameters, and what the optimiser goes on from."""

    optimizer: Pytree
    """Adam's moments; absent with SGD."""


State = TypeVar("State", bound=GradientState)


@dataclass(frozen=True, kw_only=True)
class GradientLearner(StreamLearner[State]):
    """A learner whose parameters follow gradients. Settings:

    Attributes:
        lr: rate.
        optimizer: "sgd", or "adam" (Kingma and Ba, arXiv 1412.6980) with its usual moments.
    """

    lr: Positive
    optimizer: Literal["sgd", "adam"]

    def start(self, params: Params) -> GradientState:
        """The part of a state that the optimiser needs, before the first step."""
        return {"params": params, "optimizer": Adam().init(params)} if self.optimizer == "adam" else {"params": params}

    def step(self, gradient: Params, state: State) -> State:
        """The state after a step; what else it holds stays as it is."""
        moved: Any = {**state}
        if self.optimizer == "sgd":
            moved["params"] = descend(gradient, state["params"], self.lr)
        else:
            before = state["optimizer"], state["params"]
            moved["params"], moved["optimizer"] = clipped_update(Adam(), gradient, *before, self.lr, norm=None, value=None)
        stepped: State = moved
        return stepped

"""PackNet: every task gets its own weights, which no later task can change.

    metacl-run algo=packnet data=planar_skills          # where tasks are known at evaluation: data.scenario=task

Mallya and Lazebnik 2018 (arXiv 1711.05769, section 3). Every weight belongs to the task that took it, or is free. A task learns
the free weights; those of earlier tasks are in use, but fixed. When the task is over, of the free weights of each layer

    the smallest `prune` of them are set to 0 and stay free, the others belong to the task,

and the remaining weights of the task are trained again. A task is predicted with its own weights and those of earlier tasks;
the others count as 0. Biases belong to the first task. If tasks have their own outputs, these are not pruned.

The paper prunes .5 or .75 of a task's weights at once, and retrains half as long as it trains, with SGD. With
`lr_schedule=steps`, a task is retrained here at the rate that it ended with.

Differences from the paper:
 1. The network starts from random weights; the paper's network is trained on ImageNet, and pruned before the first task.
 2. After pruning, there are `retrain_passes` passes over `retrain_samples` samples of the task, all in the same order.
 3. The optimiser's moments are kept from task to task; the paper starts a new optimiser. No weight decay by default.
 4. While a task is being learned, it is predicted with all weights; the paper evaluates after pruning.
 5. `clip_norm`, which the paper does not have, limits the gradient of all weights, including the fixed ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Lt
from torch import Tensor
from torch.func import grad, grad_and_value

from metacl_run.algorithms.online.gradient_learner import GradientLearner, GradientState
from metacl_run.algorithms.online.stream_learner import NO_REPLAY, ReplaySpec
from metacl_run.core.bounds import Examples, Positive, Steps
from metacl_run.core.errors import require_all
from metacl_run.core.types import Metrics, Observation, Params, Samples
from metacl_run.models.network import HEAD, Network

FREE = -1
"""The owner of a weight that no task has taken."""


class PackNetState(GradientState):
    """The parameters, and the tasks to which they belong."""

    owner: Params
    """int64, alike: the task that each number belongs to, or `FREE`. The owners of biases and outputs are never used."""
    done: Tensor
    """int64, number of past tasks."""
    tasks: Tensor
    """[T] int64, the numbers of all tasks."""


@dataclass(frozen=True, kw_only=True)
class PackNet(GradientLearner[PackNetState]):
    """Gradient descent on the weights that earlier tasks have left free.

    Attributes:
        prune: share of a task's weights, in each layer, that pruning frees for later tasks.
        retrain_samples: samples of the task on which it is retrained after pruning.
        retrain_passes: passes over these samples.
    """

    prune: Annotated[Positive, Lt(1)]
    retrain_samples: Examples
    retrain_passes: Steps

    needs_task: ClassVar[bool] = True
    consolidation_setting: ClassVar[str | None] = "retrain_samples"

    def __post_init__(self) -> None:
        leaves = self.lr_schedule not in ("linear", "cosine")
        schedule = "must be constant or steps: a task is retrained at the rate that it ended with, which would be 0"
        require_all(*self.steps_fit(), (leaves, "lr_schedule", self.lr_schedule, schedule))

    def replay_spec(self, num_tasks: int) -> ReplaySpec:
        return NO_REPLAY

    def init(self, network: Network, params: Params, num_tasks: int) -> PackNetState:
        network.refuse_running_averages(self, "freezes the weights of tasks that are over")
        device = next(iter(params.values())).device
        owner = {name: torch.full_like(value, FREE, dtype=torch.int64) for name, value in params.items()}
        done = torch.zeros((), dtype=torch.int64, device=device)
        return {**self.start(params), "owner": owner, "done": done, "tasks": torch.arange(num_tasks, device=device)}

    def observe(self, network: Network, state: PackNetState, observed: Observation) -> tuple[PackNetState, Metrics]:
        gradient, loss = grad_and_value(network.loss)(state["params"], *observed.batch)
        return self._moved(network, state, gradient, FREE, self.lr_at(observed)), {"loss": loss}

    def end_task(self, network: Network, state: PackNetState, samples: Samples) -> PackNetState:
        params, owner = dict(state["params"]), dict(state["owner"])
        for name in _shared(network, params):
            free = owner[name] == FREE
            given_up = free & _smallest(params[name], free, self.prune)
            owner[name] = torch.where(free & ~given_up, state["done"], owner[name])
            params[name] = torch.where(given_up, 0.0, params[name])
        state = {**state, "params": params, "owner": owner}
        for _ in range(self.retrain_passes):
            for batch in samples.chunks(self.batch_size):
                gradient = grad(network.loss)(state["params"], *batch)
                state = self._moved(network, state, gradient, state["done"], self.last_lr)
        return {**state, "done": state["done"] + 1}

    def predict(self, network: Network, state: PackNetState, x: Tensor, task: Tensor | None) -> Tensor:
        outputs = network(state["params"], x, task)
        if task is None:
            return outputs
        for number in state["tasks"]:  # one after another: the outputs of all would take T times the memory
            own = network(self._of_task(network, state, number), x, task)
            outputs = torch.where((task == number).unsqueeze(1), own, outputs)
        return outputs

    def _of_task(self, network: Network, state: PackNetState, task: Tensor) -> Params:
        """The parameters that a task is predicted with: without the weights of later ones, and once it is over without what was
        left free."""
        params = dict(state["params"])
        for name in _shared(network, params):
            owner = state["owner"][name]
            in_use = (owner <= task) & ((owner != FREE) | (task >= state["done"]))
            params[name] = torch.where(in_use, params[name], 0.0)
        return params

    def _moved(
        self, network: Network, state: PackNetState, gradient: Params, owner: Tensor | int, rate: float | Tensor
    ) -> PackNetState:
        """A step of the weights that belong to `owner`, of the biases during the first task, and of the current outputs."""
        before, stepped = state["params"], self.step(gradient, state, rate)
        shared, first = _shared(network, before), state["done"] == 0
        params = {}
        for name, value in stepped["params"].items():
            if name in shared:
                moves = state["owner"][name] == owner
            elif network.masks is not None and name.split(".")[0] == HEAD:
                moves = network.masks[state["done"]].view(-1, *[1] * (value.ndim - 1))
            else:
                moves = first
            params[name] = torch.where(moves, value, before[name])
        return {**stepped, "params": params}


def _shared(network: Network, params: Params) -> list[str]:
    """The weights that tasks share out among themselves: all but biases, and outputs that belong to tasks already."""
    own_outputs = network.masks is not None
    return [name for name, value in params.items() if value.ndim > 1 and not (own_outputs and name.split(".")[0] == HEAD)]


def _smallest(weight: Tensor, among: Tensor, share: float) -> Tensor:
    """Which of the weights `among` are the smallest `share` of them."""
    size = torch.where(among, weight.abs(), torch.inf).flatten()
    rank = size.argsort(stable=True).argsort()
    return (rank < (share * among.sum()).round()).view_as(weight)

"""Acting in the planar world: paths, success, demonstrations, and the return of a reach, all batched and in tensors.

A policy is a function from states [..., STATE] to actions [..., ACTION]: of a network, `lambda states: network(observe(states,
with_task=True))`. Skills, placements and dynamics may differ in a batch, so that an evaluation is one call; `torch.vmap` over
the parameters of several replicates of a network adds their axis.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from metacl_run.simulators.planar_experts import expert
from metacl_run.simulators.planar_skills import reached
from metacl_run.simulators.planar_world import HAND, TINY, step

Policy = Callable[[Tensor], Tensor]


def path(policy: Policy, states: Tensor, dynamics: Tensor, horizon: int, noise: Tensor | None = None) -> Tensor:
    """Returns the states [horizon + 1, ..., STATE] that a policy comes to; noise [horizon, ..., ACTION] is added to actions."""
    visited = [states]
    for number in range(horizon):
        action = policy(visited[-1])
        visited.append(step(visited[-1], action if noise is None else action + noise[number], dynamics))
    return torch.stack(visited)


def succeeds(policy: Policy, states: Tensor, dynamics: Tensor, horizon: int) -> Tensor:
    """Returns whether a policy reaches the goal of its skill at any time up to the horizon, [...], bool. Keeps no path."""
    success = reached(states)
    for _ in range(horizon):
        states = step(states, policy(states), dynamics)
        success = success | reached(states)
    return success


def demonstrations(states: Tensor, dynamics: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Returns states [T, ..., STATE] that the expert comes through under noise [T, ..., ACTION], and its own actions there.

    The noise moves the hand off the expert's way; the action that goes with a state is the expert's, which leads back.
    (DART: Laskey et al. 2017, arXiv 1703.09327.)
    """
    visited, actions = [], []
    for disturbance in noise:
        action = expert(states)
        visited.append(states)
        actions.append(action)
        states = step(states, action + disturbance, dynamics)
    return torch.stack(visited), torch.stack(actions)


def return_of(path: Tensor, goal: Tensor) -> Tensor:
    """Returns minus the mean distance, [...], of the hand from goals [..., 2] on paths [T + 1, ..., STATE] after the start."""
    squares = (path[1:, ..., HAND] - goal).square().sum(-1)
    return -(squares + TINY).sqrt().mean(0)

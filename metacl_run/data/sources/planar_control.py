"""Hands of the planar world that a controller moves to their goals. Shapes: R seeds, B hands of each, M first steps."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from metacl_run.data.streams.control_episodes import ControlEpisodes, Window, World
from metacl_run.simulators.planar_rollouts import path
from metacl_run.simulators.planar_world import HAND, step

LARGEST_PUSH = 3**0.5
"""Uniform pushes up to this have a standard deviation of 1, as those that were recorded."""


@dataclass(frozen=True, kw_only=True)
class PlanarControl(ControlEpisodes):
    """The reward of a step is minus the distance of the hand from its goal, in units of half the table's side.

    The third push never opens the gripper, so that a hand that holds something goes on holding it.
    """

    starts: Tensor
    """[R, B, STATE] float64."""
    dynamics: Tensor
    """[R, B, DYNAMICS]."""
    goals: Tensor
    """[R, B, 2]."""
    pushes: Tensor
    """[R, B, M, ACTION] the first ones."""
    seen: int
    """How many numbers of a state, the first ones, are known."""

    @property
    def lowest(self) -> Tensor:  # type: ignore[override]
        return torch.full_like(self.pushes[0, 0, 0], -LARGEST_PUSH)

    @property
    def highest(self) -> Tensor:  # type: ignore[override]
        return torch.tensor([LARGEST_PUSH, LARGEST_PUSH, 0.0]).to(self.pushes)

    def to(self, device: torch.device) -> PlanarControl:
        moved = {name: getattr(self, name).to(device) for name in ("starts", "dynamics", "goals", "pushes")}
        return dataclasses.replace(self, **moved)

    def begin(self) -> tuple[World, Window]:
        pushes = self.pushes.movedim(2, 0)
        visited = path(lambda state: torch.zeros_like(pushes[0]), self.starts, self.dynamics, len(pushes), pushes)
        return visited[-1], Window(visited[..., : self.seen].movedim(0, 2), self.pushes)

    def step(self, world: World, actions: Tensor) -> tuple[World, Tensor, Tensor]:
        actions = actions.to(world)
        following = step(world, actions, self.dynamics)
        states = following[..., : self.seen]
        return following, states, self.rewards(actions, states, self.goals)

    def rewards(self, actions: Tensor, states: Tensor, goals: Tensor) -> Tensor:
        return -(states[..., HAND] - goals).square().sum(-1).sqrt()

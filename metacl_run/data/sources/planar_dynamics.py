"""The planar hand under changed dynamics: turned, reversed or weak motors, a tilted table, a heavy hand, a load.

Every family changes a different part of `simulators/planar_world.py`; its dynamics are drawn uniformly from `RANGES`. Random
pushes that change slowly move the hand, so that it gains speed. All other objects are far from the table, so that the hand
never touches them, except in the family `payload`, where it holds the block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
import torch
from annotated_types import Ge, Le, MinLen
from torch import Tensor

from metacl_run.core.bounds import Seed
from metacl_run.core.errors import name_checks, require_all
from metacl_run.core.randomness import Purpose, generator
from metacl_run.data.sources.control_source import ControlSource
from metacl_run.data.sources.planar_control import PlanarControl
from metacl_run.data.sources.transition_source import Rollouts
from metacl_run.simulators.planar_rollouts import path
from metacl_run.simulators.planar_world import (
    ACTION,
    BLOCK,
    DRAWER,
    DYNAMICS,
    GRIP,
    HAND,
    HINGE,
    PUCK,
    STATE,
    USUAL_DYNAMICS,
    VELOCITY,
)
from metacl_run.simulators.planar_world import WIDTH as HELD

RANGES: Final[Mapping[str, Mapping[str, tuple[float, float]]]] = {
    "motors": {"motor_x": (-1.5, 1.5), "motor_y": (-1.5, 1.5)},
    "turn": {"turn": (-np.pi, np.pi)},
    "drift": {"drift_x": (-0.8, 0.8), "drift_y": (-0.8, 0.8)},
    "mass": {"mass": (0.3, 10.0), "friction": (0.7, 1.5)},
    "payload": {"payload": (0.0, 8.0), "load_friction": (0.0, 1.5)},
}
"""What every family changes, and between what; all else is usual."""
ROLLOUTS: Final = 2
"""Version of how rollouts are made, part of the fingerprint: raise it when the rollouts change."""
SEEN: Final = GRIP.stop
"""The first so many numbers of a state are the hand's: place, velocity, opening of the gripper."""
HOLDING: Final = ("payload",)
"""Families in which the hand holds the block."""
FAR: Final = 9.0
"""A coordinate of things that are not on the table, which ends at 1."""
CALM: Final = 0.8
"""Share of a push that the next one keeps."""


@dataclass(frozen=True, kw_only=True)
class PlanarDynamics(ControlSource):
    """A state is the hand's place, velocity and opening, 5 numbers; an action is the pushes of 3 motors, before their tanh."""

    families: Annotated[list[str], MinLen(1)]
    """Some of motors, turn, drift, mass and payload, in the order of the tasks."""
    dynamics_per_family: Annotated[int, Ge(2), Le(10**4)]
    """Dynamics of each family."""
    rollouts: Annotated[int, Ge(3), Le(10**4)]
    """Rollouts under each of the dynamics."""
    steps: Annotated[int, Ge(2), Le(10**4)]
    """Steps of a rollout."""
    generator_seed: Seed
    """Decides the dynamics and the pushes."""

    def __post_init__(self) -> None:
        require_all(*name_checks("families", self.families, list(RANGES)))

    @property
    def fingerprint(self) -> str:
        return f"rollouts {ROLLOUTS}"

    @property
    def state_size(self) -> int:
        return SEEN

    @property
    def action_size(self) -> int:
        return ACTION

    def count_dynamics(self) -> dict[str, int]:
        return dict.fromkeys(self.families, self.dynamics_per_family)

    def count_rollouts(self) -> tuple[int, int]:
        return self.rollouts, self.steps

    def read(self) -> Rollouts:
        parts = [self._rollouts(name) for name in self.families]
        return Rollouts(
            states=np.concatenate([states for states, _ in parts]), actions=np.concatenate([actions for _, actions in parts])
        )

    def control_episodes(
        self, dynamics: np.ndarray, rngs: Sequence[Sequence[np.random.Generator]], steps_before: int
    ) -> PlanarControl:
        """Every hand has a goal on the table, and the reward of a step is minus its distance from there."""
        members = torch.cat([self._drawn(family)[1] for family in self.families])[torch.from_numpy(dynamics)]
        count = dynamics.shape[2]
        by_family = [
            [_start_of_control(rng, family, count, steps_before) for rng, family in zip(own, self.families, strict=True)]
            for own in rngs
        ]
        of_seeds = [[torch.cat(leaves) for leaves in zip(*own, strict=True)] for own in by_family]
        starts, goals, pushes = (torch.stack(leaves) for leaves in zip(*of_seeds, strict=True))
        return PlanarControl(starts=starts, dynamics=members.flatten(1, 2), goals=goals, pushes=pushes, seen=SEEN)

    def _drawn(self, family: str) -> tuple[np.random.Generator, Tensor]:
        """The dynamics of a family [D, DYNAMICS], and the generator that they were drawn by, to go on with."""
        rng = generator(Purpose.DYNAMICS, self.generator_seed, list(RANGES).index(family))
        return rng, drawn_dynamics(family, rng.random((self.dynamics_per_family, len(RANGES[family]))))

    def _rollouts(self, family: str) -> tuple[np.ndarray, np.ndarray]:
        rng, dynamics = self._drawn(family)
        shape = (self.dynamics_per_family, self.rollouts)
        holding = family in HOLDING
        start = start_of(torch.from_numpy(rng.random((*shape, 2))), holding=holding)
        pushes = slow_pushes(torch.from_numpy(rng.standard_normal((self.steps, *shape, ACTION))), holding=holding)
        # The path of a policy that pushes nothing, under the pushes as its noise.
        states = path(lambda state: torch.zeros_like(state[..., :ACTION]), start, dynamics.unsqueeze(1), self.steps, pushes)
        seen = (states[..., :SEEN].movedim(0, 2), pushes.movedim(0, 2))
        return seen[0].float().numpy(), seen[1].float().numpy()


def drawn_dynamics(family: str, uniforms: np.ndarray) -> Tensor:
    """Returns dynamics [D, DYNAMICS] float64 of a family, from numbers from 0 to 1, [D, what the family changes]."""
    dynamics = torch.tensor(list(USUAL_DYNAMICS.values()), dtype=torch.float64).repeat(len(uniforms), 1)
    names = list(USUAL_DYNAMICS)
    for column, (name, (low, high)) in enumerate(RANGES[family].items()):
        dynamics[:, names.index(name)] = torch.from_numpy(low + (high - low) * uniforms[:, column])
    assert dynamics.shape[1] == DYNAMICS
    return dynamics


def start_of(uniforms: Tensor, *, holding: bool) -> Tensor:
    """Returns states [..., STATE] in which the hand rests in the middle half of the table, at numbers from 0 to 1, [..., 2].

    Args:
        uniforms: decide its place.
        holding: the hand is closed around the block; else it is half open, and the block is far away, as all other things are.
    """
    states = torch.zeros(*uniforms.shape[:-1], STATE, dtype=uniforms.dtype)
    states[..., HAND] = uniforms - 0.5
    states[..., VELOCITY] = 0
    states[..., GRIP] = HELD if holding else 0.5
    for thing in (BLOCK, PUCK, HINGE, DRAWER):
        states[..., thing] = FAR
    if holding:
        states[..., BLOCK] = states[..., HAND]
    return states


def _start_of_control(rng: np.random.Generator, family: str, count: int, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """The starts [count, STATE], goals [count, 2] and first pushes [count, steps, ACTION] of hands of a family."""
    holding, uniforms = family in HOLDING, torch.from_numpy(rng.random((count, 4)))
    pushes = slow_pushes(torch.from_numpy(rng.standard_normal((steps, count, ACTION))), holding=holding)
    return start_of(uniforms[:, :2], holding=holding), uniforms[:, 2:] - 0.5, pushes.movedim(0, 1)


def slow_pushes(noise: Tensor, *, holding: bool) -> Tensor:
    """Returns pushes [T, ..., ACTION] of standard deviation 1 that keep `CALM` of the last, from standard normal noise.

    A hand that is holding something keeps its fingers closed: the third push is then never above 0.
    """
    pushes = [noise[0]]
    for new in noise[1:]:
        pushes.append(CALM * pushes[-1] + (1 - CALM**2) ** 0.5 * new)
    stacked = torch.stack(pushes)
    if holding:
        stacked[..., 2] = -stacked[..., 2].abs()
    return stacked

"""Reaching with the hand of the planar world, alone on the table: the quick part of `planar_world`, for learning by gradient.

What happens in a rollout is all in one tensor, so that a policy's path is a differentiable function of its parameters and of
that tensor: `rollout(policy, tensor)`. The hand moves as in `planar_world.step` where it holds and touches nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from metacl_run.simulators.planar_world import DYNAMICS, SPEED, TIME_CONSTANT, TIME_STEP

OBSERVATION: Final = 4
"""What a policy sees: where the hand is, and how fast it moves. Not the goal."""
PUSHES: Final = 2
"""What a policy decides: a push of each motor, before its tanh."""


def rollout_size(horizon: int) -> int:
    """Returns the length of a tensor that describes a rollout of so many steps: start [2], dynamics, noise [horizon * 2]."""
    return 2 + DYNAMICS + PUSHES * horizon


def rollout(policy: Callable[[Tensor], Tensor], described: Tensor) -> Tensor:
    """Returns the places [N, horizon * 2] where the hand is after every step, from rest at the start.

    Args:
        policy: observations [N, OBSERVATION] -> pushes [N, PUSHES].
        described: [N, `rollout_size`] start, dynamics, and the noise that is added to every push.
    """
    hand, dynamics, noise = described.split([2, DYNAMICS, described.shape[-1] - 2 - DYNAMICS], -1)
    by_motor, drift, keeps = motion(dynamics)
    velocity = torch.zeros_like(hand)
    places = []
    for disturbance in noise.split(PUSHES, -1):
        push = torch.tanh(policy(torch.cat([hand, velocity], -1)) + disturbance)
        final = (by_motor * push.unsqueeze(-2)).sum(-1) + drift
        moved = (hand + TIME_STEP * torch.lerp(final, velocity, keeps)).clamp(-1, 1)
        hand, velocity = moved, (moved - hand) / TIME_STEP
        places.append(hand)
    return torch.cat(places, -1)


def motion(dynamics: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns how a hand alone moves under dynamics [..., DYNAMICS].

    Returns:
        Its speed under the full power of each motor [..., 2, motors], its speed without any [..., 2], and the share of its
        velocity that it keeps in a step [..., 2].
    """
    motor_x, motor_y, _, turn, drift_x, drift_y, mass, friction, *_ = dynamics.unbind(-1)
    cos, sin = torch.cos(turn), torch.sin(turn)
    along = torch.stack([cos * motor_x, -sin * motor_y, sin * motor_x, cos * motor_y], -1).unflatten(-1, (2, 2))
    fastest = (SPEED / friction).unsqueeze(-1)
    keeps = torch.exp(-TIME_STEP / TIME_CONSTANT * friction / mass).unsqueeze(-1)
    drift = torch.stack([drift_x, drift_y], -1)
    return fastest.unsqueeze(-1) * along, fastest * drift, keeps.expand_as(drift)

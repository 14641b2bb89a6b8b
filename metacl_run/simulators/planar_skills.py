"""The skills of the planar world: where everything is at the start, when a skill's goal is reached, and what a policy sees."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from metacl_run.simulators.planar_world import (
    ANGLE,
    BLOCK,
    DRAWER,
    GRIP,
    HAND,
    HINGE,
    PUCK,
    PULL,
    SKILLS,
    TARGET,
    TASK,
    VELOCITY,
    door_handle,
    drawer_knob,
)

HORIZON: Final = 60
"""Steps in which a skill is to be done. It counts as done when its goal is reached at any time up to then."""

PLACES: Final = {
    "hand": ((-0.3, 0.3), (-0.9, -0.7)),
    "block": ((-0.6, 0.6), (-0.5, -0.1)),
    "puck": ((-0.3, 0.3), (-0.4, -0.2)),
    "target": ((-0.5, 0.5), (0.1, 0.5)),
    "hinge": ((0.5, 0.8), (0.6, 0.8)),
    "drawer": ((-0.8, -0.5), (0.6, 0.8)),
}
"""Between what the x and the y of a thing are drawn at the start; the same for every skill."""
SHUT_ANGLES, OPEN_ANGLES = (0.0, 0.2), (1.0, 1.3)
"""Between what the door's angle is drawn; it is open at the start of the skill that shuts it."""
SHUT_PULLS, OPEN_PULLS = (0.0, 0.05), (0.25, 0.35)
"""The same for the drawer's pull."""
UNIFORMS: Final = 2 * len(PLACES) + 2
"""How many numbers a start is made of."""

REACHED: Final = 0.06
"""How near to the target the hand, or the block, has to come."""
PUSHED: Final = 0.1
"""How near to the target the puck has to come."""
DOOR_OPEN, DOOR_SHUT = 1.0, 0.15
"""From what angle the door counts as open, below what angle as shut."""
DRAWER_OPEN, DRAWER_SHUT = 0.25, 0.04


def start(skill: str, uniforms: Tensor) -> Tensor:
    """Returns states [..., STATE] to begin a skill from, made of numbers from 0 to 1, [..., UNIFORMS]; the hand rests, open."""
    angles = OPEN_ANGLES if skill == "close_door" else SHUT_ANGLES
    pulls = OPEN_PULLS if skill == "close_drawer" else SHUT_PULLS
    spans = [*(span for place in PLACES.values() for span in place), angles, pulls]
    places = [low + (high - low) * share for (low, high), share in zip(spans, uniforms.split(1, -1), strict=True)]
    hand, block, puck, target, hinge, drawer = (
        torch.cat(places[first : first + 2], -1) for first in range(0, 2 * len(PLACES), 2)
    )
    angle, pull = places[-2:]
    task = [torch.full_like(angle, float(name == skill)) for name in SKILLS]
    resting = torch.zeros_like(hand)
    return torch.cat([hand, resting, torch.ones_like(angle), block, puck, target, hinge, angle, drawer, pull, *task], -1)


def progress(states: Tensor) -> Tensor:
    """Returns how far beyond its goal each skill is, [..., skills]: below 0 until it is reached, above 0 from then on."""
    target, angle, pull = states[..., TARGET], states[..., ANGLE], states[..., PULL]
    reach, push, place = (
        within**2 - (states[..., thing] - target).square().sum(-1, keepdim=True)
        for thing, within in ((HAND, REACHED), (PUCK, PUSHED), (BLOCK, REACHED))
    )
    door, drawer = (angle - DOOR_OPEN, DOOR_SHUT - angle), (pull - DRAWER_OPEN, DRAWER_SHUT - pull)
    return torch.cat([reach, push, place, door[0], drawer[0], door[1], drawer[1]], -1)


def reached(states: Tensor) -> Tensor:
    """Returns whether the skill that a state asks for is at its goal, [...], bool."""
    return (progress(states) * states[..., TASK]).sum(-1) > 0


def observe(states: Tensor, *, with_task: bool) -> Tensor:
    """Returns what a policy sees of states, [..., `observation_size`]: the hand, and everything else relative to it.

    With the task, its one-hot comes last; without it, one sight may ask for different actions.
    """
    hand, angle, pull = states[..., HAND], states[..., ANGLE], states[..., PULL]
    handle, opening = door_handle(states[..., HINGE], angle)
    things = (states[..., BLOCK], states[..., PUCK], states[..., TARGET], handle, drawer_knob(states[..., DRAWER], pull))
    seen = [hand, states[..., VELOCITY], states[..., GRIP], *(thing - hand for thing in things), opening, angle, pull]
    return torch.cat([*seen, states[..., TASK]] if with_task else seen, -1)


TARGET_SEEN: Final = [9, 10]
"""Of an observation: the target relative to the hand."""


def observation_size(*, with_task: bool) -> int:
    """Returns the length of an observation."""
    return 19 + (len(SKILLS) if with_task else 0)

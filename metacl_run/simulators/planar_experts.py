"""Scripted experts of the planar world: for every skill a smooth function of the state, so that a small network can copy it.

What a script would decide by a threshold (near enough to close the gripper, held firmly enough to carry, far enough behind the
puck to push) is decided here by a weight between 0 and 1, over distances that a network can tell apart.
"""

from __future__ import annotations

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
    TARGET,
    TASK,
    WIDTH,
    door_handle,
    drawer_knob,
    grasps,
)

OPEN_FROM = 0.06
"""Distance from a thing at which the gripper is on its way to open or to close."""
BEHIND, TOUCHING = 0.25, 0.1
"""How far behind the puck the hand aims: until it is on the far side from the target, and then."""


def expert(states: Tensor) -> Tensor:
    """Returns the actions [..., ACTION] of the skills that the states ask for."""
    hand, grip, block, puck, target = (states[..., part] for part in (HAND, GRIP, BLOCK, PUCK, TARGET))
    handle, opening = door_handle(states[..., HINGE], states[..., ANGLE])
    knob = drawer_knob(states[..., DRAWER], states[..., PULL])
    block_held, handle_held, knob_held = grasps(states)
    outward = torch.cat([torch.zeros_like(knob_held), -torch.ones_like(knob_held)], -1)
    to_target, to_block, to_handle, to_knob = (toward(thing - hand) for thing in (target, block, handle, knob))
    ways = (
        to_target,
        push(hand, puck, target),
        torch.lerp(to_block, to_target, block_held),
        torch.lerp(to_handle, opening, handle_held),
        torch.lerp(to_knob, outward, knob_held),
        torch.lerp(to_handle, -opening, handle_held),
        torch.lerp(to_knob, -outward, knob_held),
    )
    at_block, at_handle, at_knob = (around(thing - hand) for thing in (block, handle, knob))
    stay_open = torch.ones_like(grip)
    widths = (stay_open, stay_open, at_block, at_handle, at_knob, at_handle, at_knob)
    actions = [torch.cat([way, 4 * (width - grip)], -1) for way, width in zip(ways, widths, strict=True)]
    return (torch.stack(actions, -1) * states[..., TASK].unsqueeze(-2)).sum(-1)


def toward(apart: Tensor) -> Tensor:
    """Returns the push of the motors that takes the hand to a place, [..., 2]: of length 1 far away, fading nearby."""
    return 5 * apart / (1 + 25 * apart.square().sum(-1, keepdim=True)).sqrt()


def around(apart: Tensor) -> Tensor:
    """Returns how far the gripper is to open for a thing, [..., 1]: wide on the way to it, at its place a little narrower."""
    away = 1 - torch.exp(-apart.square().sum(-1, keepdim=True) / OPEN_FROM**2)
    return WIDTH - 0.1 + (1.1 - WIDTH) * away


def push(hand: Tensor, puck: Tensor, target: Tensor) -> Tensor:
    """Returns the push of the motors that takes the hand behind the puck, and then pushes the puck to the target."""
    way = target - puck
    left = way.square().sum(-1, keepdim=True)
    way = way / (left + 0.05**2).sqrt()
    apart = puck - hand
    square = apart.square().sum(-1, keepdim=True)
    cosine = (apart * way).sum(-1, keepdim=True) / (square + 0.02**2).sqrt()
    aligned = torch.sigmoid((cosine - 0.7) / 0.1)
    pushing = torch.sigmoid((0.18**2 - square) / 0.005) * torch.sigmoid((cosine - 0.4) / 0.1)
    approach = toward(apart - (BEHIND + (TOUCHING - BEHIND) * aligned) * way)
    return left / (left + 0.1**2) * torch.lerp(approach, way, pushing)

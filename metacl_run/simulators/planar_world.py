"""A hand with a gripper over a table, seen from above: a block, a puck, a door on a hinge, a drawer, a target; in pure torch.

The four files of this room, from the bottom:

- `planar_world`: `step(state, action, dynamics)`; `dynamics_of(mass=2.0, motor_x=-1.0)` is a tensor that says how things move.
- `planar_skills`: what is to be done. `start(skill, uniforms)` places everything, `progress(states)` and `reached(states)` say
  how far a skill is, `observe(states, with_task=True)` is what a policy sees.
- `planar_experts`: `expert(states)` is the action of the skill that a state asks for.
- `planar_rollouts`: acting. `path(policy, states, dynamics, horizon)` keeps every state, `succeeds(...)` only whether the goal
  was reached, `demonstrations(...)` lets the expert act under noise, `return_of(path, goal)` is the return of a reach.

A state is a tensor [..., STATE]; the slices below name its parts (positions in a square from -1 to 1, angles in radians), and
its last entries say as a one-hot which skill is asked for, so that one batch may hold many skills. An action is a tensor
[..., ACTION]: a push of each of the two motors, and the opening of the gripper; each goes through tanh, so that any number is
allowed and no gradient is cut off. Dynamics are a tensor [..., DYNAMICS], one for the whole batch or one for each state of it.

Every function is pure, has no branch that depends on the data, draws no random number and holds no tensor of its own, so that
`torch.func.vmap`, `torch.func.grad`, CUDA graphs, any device and float64 work through it. The step is smooth but where a thing
meets its stop, the hand meets the puck, or the fingers meet what is between them. There is no memory beyond the state: whether
a thing is held follows from where the hand is and how far the gripper is open. A gripper that is shut cannot take hold, since
its fingers do not open around a thing by themselves.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

SKILLS: Final = ("reach", "push", "pick_place", "open_door", "open_drawer", "close_door", "close_drawer")
"""In the order of the one-hot at the end of a state."""

HAND, VELOCITY, GRIP = slice(0, 2), slice(2, 4), slice(4, 5)
"""Where the hand is; how fast it moves; how far the gripper is open, 0 to 1."""
BLOCK, PUCK, TARGET = slice(5, 7), slice(7, 9), slice(9, 11)
"""The block can be held and not be pushed, the puck can be pushed and not be held."""
HINGE, ANGLE = slice(11, 13), slice(13, 14)
"""Where the door hangs; how far it is open, 0 to `WIDEST`."""
DRAWER, PULL = slice(14, 16), slice(16, 17)
"""Where the drawer's knob is when it is shut; how far it is pulled out, 0 to `LONGEST`."""
TASK = slice(17, 17 + len(SKILLS))
"""One-hot of the skill that is asked for."""
STATE: Final[int] = TASK.stop
PARTS: Final[list[int]] = [
    part.stop - part.start for part in (HAND, VELOCITY, GRIP, BLOCK, PUCK, TARGET, HINGE, ANGLE, DRAWER, PULL, TASK)
]
ACTION: Final = 3

TIME_STEP: Final = 0.05
DOOR_LENGTH: Final = 0.4
WIDEST: Final = 1.5
LONGEST: Final = 0.4
SPEED: Final = 1.5
"""Of the hand at full power, in units a second."""
CONTACT: Final = 0.12
"""Radius of hand and puck together."""
REACH: Final = 0.08
"""A thing nearer than this is between the fingers."""
WIDTH: Final = 0.3
"""How far the gripper is open around a thing that it holds."""
GRIPPER_STEP: Final = 0.2
"""By how much the gripper opens or closes in a step at full power."""
SOFTNESS_OF_SQUARES: Final = 0.0008
"""Of squared distances; what is at the hand is between the fingers with a weight of .9997."""
SOFTNESS_OF_GRIP: Final = 0.02
GUIDE: Final = 2.0
"""The hand is hollow: where it moves sideways, the puck moves this many times as far, and so comes to lie ahead of it."""
SLIP: Final = 0.005
"""A puck that the hand enters by no more than this in a step is guided by a half."""
TINY: Final = 1e-12

USUAL_DYNAMICS: Final = {
    "motor_x": 1.0,  # what the motor of an axis makes of its command: 0 dead, -1 reversed
    "motor_y": 1.0,
    "gripper": 1.0,  # the same for the gripper's motor
    "turn": 0.0,  # angle by which the axes of the motors are turned against the table
    "drift_x": 0.0,  # a constant force, in powers of a motor: gravity on a tilted table
    "drift_y": 0.0,
    "mass": 1.0,  # of the hand: how slowly it gathers speed
    "friction": 1.0,  # of the hand: its highest speed is the power divided by it
    "payload": 0.5,  # mass of the thing that is held or pushed
    "load_friction": 0.2,  # friction of the thing that is held or pushed
}
"""What can be changed about the world, and its usual value, in the order of a tensor of dynamics; mass, friction above 0."""
DYNAMICS: Final = len(USUAL_DYNAMICS)
TIME_CONSTANT: Final = 0.08
"""Seconds in which a hand of mass 1 and friction 1 gathers 63% of its speed."""


def dynamics_of(**changes: float) -> Tensor:
    """Returns dynamics [DYNAMICS] with the usual values but for the changes; KeyError for a name that is not one."""
    unknown = set(changes) - set(USUAL_DYNAMICS)
    if unknown:
        raise KeyError(*unknown)
    return torch.tensor([changes.get(name, usual) for name, usual in USUAL_DYNAMICS.items()])


def step(state: Tensor, action: Tensor, dynamics: Tensor) -> Tensor:
    """Returns the states [..., STATE] that follow after `TIME_STEP` from the actions [..., ACTION]."""
    motor_x, motor_y, gripper, turn, drift_x, drift_y, mass, friction, payload, load_friction = dynamics.split(1, -1)
    command_x, command_y, command_grip = torch.tanh(action).split(1, -1)
    hand, velocity, grip, block, puck, target, hinge, angle, drawer, pull, task = state.split(PARTS, -1)

    # The gripper closes on what is between its fingers, but does not open around it.
    (handle, along), knob = door_handle(hinge, angle), drawer_knob(drawer, pull)
    block_near, handle_near, knob_near = between(hand, block, handle, knob)
    something_near = block_near + handle_near + knob_near
    free = (grip + GRIPPER_STEP * gripper * command_grip).clamp(0, 1)
    grip = torch.maximum(free, something_near * grip.clamp(max=WIDTH))
    around = fits(grip)

    # The hand gathers speed: the exact solution for a constant force, so that no mass or friction makes it unstable.
    load = around * something_near + near(puck, hand, CONTACT)
    drag = friction + load_friction * load
    keeps = torch.exp(-TIME_STEP / TIME_CONSTANT * drag / (mass + payload * load))
    power_x, power_y = motor_x * command_x, motor_y * command_y
    cos, sin = torch.cos(turn), torch.sin(turn)
    power = torch.cat([cos * power_x - sin * power_y + drift_x, sin * power_x + cos * power_y + drift_y], -1)
    final = SPEED * power / drag
    moved = (hand + TIME_STEP * (final + (velocity - final) * keeps)).clamp(-1, 1)

    # The door turns by the hand's way along its arc, the drawer slides along its rail; both keep the hand on them.
    holds_handle, holds_knob = around * handle_near, around * knob_near
    turned = ((moved - handle) * along).sum(-1, keepdim=True) / DOOR_LENGTH
    angle = (angle + holds_handle * turned).clamp(0, WIDEST)
    pull = (pull + holds_knob * (knob - moved)[..., 1:]).clamp(0, LONGEST)
    handle, _ = door_handle(hinge, angle)
    moved = moved + holds_handle * (handle - moved) + holds_knob * (drawer_knob(drawer, pull) - moved)
    block = block + around * block_near * (moved - block)
    puck = pushed(puck, moved, moved - hand)
    parts = (moved, (moved - hand) / TIME_STEP, grip, block, puck, target, hinge, angle, drawer, pull, task)
    return torch.cat(parts, -1)


def grasps(states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns how firmly the hand holds the block, the door's handle and the drawer's knob, each [..., 1] from 0 to 1."""
    handle, _ = door_handle(states[..., HINGE], states[..., ANGLE])
    knob = drawer_knob(states[..., DRAWER], states[..., PULL])
    around = fits(states[..., GRIP])
    block_near, handle_near, knob_near = between(states[..., HAND], states[..., BLOCK], handle, knob)
    return around * block_near, around * handle_near, around * knob_near


def door_handle(hinge: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Returns where the door's handle is, [..., 2], and the direction in which it opens there, a unit vector [..., 2]."""
    cos, sin = torch.cos(angle), torch.sin(angle)
    return hinge - DOOR_LENGTH * torch.cat([cos, sin], -1), torch.cat([sin, -cos], -1)


def drawer_knob(drawer: Tensor, pull: Tensor) -> Tensor:
    """Returns where the drawer's knob is, [..., 2]."""
    return torch.cat([drawer[..., :1], drawer[..., 1:] - pull], -1)


def between(hand: Tensor, block: Tensor, handle: Tensor, knob: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns whether each of three things is between the fingers, [..., 1]; one that is leaves no room for the next."""
    block_near = near(block, hand, REACH)
    handle_near = near(handle, hand, REACH) * (1 - block_near)
    return block_near, handle_near, near(knob, hand, REACH) * (1 - block_near - handle_near)


def near(thing: Tensor, hand: Tensor, distance: float) -> Tensor:
    """Returns whether a thing is near the hand, [..., 1]: 1 at the hand, a half at the distance, 0 far away."""
    return torch.sigmoid((distance**2 - (thing - hand).square().sum(-1, keepdim=True)) / SOFTNESS_OF_SQUARES)


def fits(grip: Tensor) -> Tensor:
    """Returns whether the gripper is closed around a thing: 1 at `WIDTH`, 0 where it is open or shut."""
    return torch.sigmoid((1.5 * WIDTH - grip) / SOFTNESS_OF_GRIP) * torch.sigmoid((grip - 0.5 * WIDTH) / SOFTNESS_OF_GRIP)


def pushed(puck: Tensor, hand: Tensor, way: Tensor) -> Tensor:
    """Returns where the puck is after the hand came to its place on a way: moved out of the hand, and guided ahead of it.

    It stays on the table; a puck that lies beside the table stays where it is.
    """
    apart = puck - hand
    distance = (apart.square().sum(-1, keepdim=True) + TINY).sqrt()
    normal = apart / distance
    depth = (CONTACT - distance).clamp(min=0)
    aside = way - (way * normal).sum(-1, keepdim=True) * normal
    edge = puck.detach().abs().clamp(min=1)
    return (puck + depth * normal + GUIDE * depth / (depth + SLIP) * aside).clamp(-edge, edge)

"""One step of the planar world, beside cases worked out by hand, loops and finite differences."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from metacl_run.simulators.planar_skills import UNIFORMS, start
from metacl_run.simulators.planar_world import (
    ACTION,
    ANGLE,
    BLOCK,
    CONTACT,
    DOOR_LENGTH,
    DRAWER,
    DYNAMICS,
    GRIP,
    HAND,
    HINGE,
    LONGEST,
    PUCK,
    PULL,
    SKILLS,
    SPEED,
    STATE,
    TIME_CONSTANT,
    TIME_STEP,
    USUAL_DYNAMICS,
    VELOCITY,
    WIDTH,
    door_handle,
    drawer_knob,
    dynamics_of,
    step,
)

SHUT = -5.0
"""A command that closes the gripper at full power."""


def table(**parts: tuple[slice, list[float]]) -> Tensor:
    """A state with everything at the middle of its place, the hand in an empty corner, but for the parts."""
    state = start("reach", torch.full((UNIFORMS,), 0.5, dtype=torch.float64))
    state[HAND] = torch.tensor([-0.8, -0.8])
    for where, values in parts.values():
        state[where] = torch.tensor(values, dtype=torch.float64)
    return state


def acted(state: Tensor, *actions: tuple[list[float], int], dynamics: Tensor | None = None) -> list[Tensor]:
    """All states after the first, under actions that are each repeated."""
    usual, states = dynamics_of().double(), [state]
    for action, count in actions:
        command = torch.tensor(action, dtype=torch.float64)
        for _ in range(count):
            states.append(step(states[-1], command, usual if dynamics is None else dynamics.double()))
    return states[1:]


def at_block() -> Tensor:
    """The open hand is at the block; five steps later it holds it."""
    return acted(table(hand=(HAND, [0.2, -0.6]), block=(BLOCK, [0.22, -0.59])), ([0, 0, SHUT], 6))[-1]


def at_handle() -> Tensor:
    state = table()
    state[HAND] = door_handle(state[HINGE], state[ANGLE])[0]
    return acted(state, ([0, 0, SHUT], 6))[-1]


def at_knob() -> Tensor:
    state = table()
    state[HAND] = drawer_knob(state[DRAWER], state[PULL])
    return acted(state, ([0, 0, SHUT], 6))[-1]


def test_a_free_hand_gathers_speed_as_the_formula_says() -> None:
    states = acted(table(), ([0.5, 0.25, 5.0], 10))
    for axis, push in enumerate((math.tanh(0.5), math.tanh(0.25))):
        place, most = -0.8, SPEED * push
        for number, state in enumerate(states, 1):
            speed = most * (1 - math.exp(-TIME_STEP * number / TIME_CONSTANT))  # of dv/dt = (most - v) / time constant
            place += TIME_STEP * speed
            assert state[VELOCITY][axis] == pytest.approx(speed, abs=1e-6)
            assert state[HAND][axis] == pytest.approx(place, abs=1e-6)
    assert torch.allclose(states[-1][BLOCK.start :], table()[BLOCK.start :], atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"motor_x": -1.0}, (-1.0, 0.5)),
        ({"motor_y": 0.0}, (1.0, 0.0)),
        ({"turn": math.pi / 2}, (-0.5, 1.0)),
        ({"drift_x": -0.03, "drift_y": 0.01}, (0.7, 0.6)),
        ({"friction": 2.0}, (0.5, 0.25)),
        ({"mass": 1.5}, (1.0, 0.5)),
    ],
)
def test_changed_dynamics_change_the_final_speed(changes: dict[str, float], expected: tuple[float, float]) -> None:
    """Of a hand that has a tenth of its power in x, a twentieth in y; numbers are in tenths of the full speed."""
    command = [math.atanh(0.1), math.atanh(0.05), 5.0]
    state = acted(table(hand=(HAND, [0.0, -0.8])), (command, 30), dynamics=dynamics_of(**changes))[-1]
    assert state[VELOCITY].tolist() == pytest.approx([SPEED * 0.1 * share for share in expected], abs=1e-5)


def test_a_heavy_load_makes_the_hand_slow() -> None:
    states = [acted(at_block(), ([1, 0, SHUT], 5), dynamics=dynamics_of(payload=mass))[-1] for mass in (0.0, 3.0)]
    assert states[1][HAND][0] < states[0][HAND][0] - 0.05


def test_the_gripper_takes_carries_and_lets_go() -> None:
    state = at_block()
    assert state[GRIP].item() == pytest.approx(WIDTH, abs=0.01)
    carried = acted(state, ([0.5, 0.5, SHUT], 15))[-1]
    assert (carried[HAND] - state[HAND]).norm() > 0.5
    assert (carried[BLOCK] - carried[HAND]).norm() < 0.005
    left = acted(carried, ([0, 0, 5.0], 5), ([-1, 0, 5.0], 10))[-1]
    assert (left[BLOCK] - carried[BLOCK]).norm() < 0.05
    assert (left[HAND] - left[BLOCK]).norm() > 0.3


def test_a_gripper_that_is_shut_takes_hold_of_nothing() -> None:
    state = table(hand=(HAND, [0.0, -0.6]), grip=(GRIP, [0.0]), block=(BLOCK, [0.2, -0.6]))
    assert torch.allclose(acted(state, ([1, 0, SHUT], 12))[-1][BLOCK], state[BLOCK], atol=1e-3)


def test_the_hand_on_the_handle_keeps_its_distance_from_the_hinge() -> None:
    state = at_handle()
    states = acted(state, ([0, -1, SHUT], 12), ([1, -0.5, SHUT], 8))
    for after in states:
        assert (after[HAND] - after[HINGE]).norm().item() == pytest.approx(DOOR_LENGTH, abs=1e-3)
    assert states[-1][ANGLE] > 1
    assert state[ANGLE].item() == pytest.approx(0.1, abs=1e-3)
    # a short way along the arc opens the door by the way over its length
    first = states[0]
    assert (first[ANGLE] - state[ANGLE]).item() == pytest.approx(
        (first[HAND] - state[HAND]).norm().item() / DOOR_LENGTH, rel=1e-2
    )


def test_the_drawer_moves_along_its_rail_up_to_its_stop() -> None:
    state = at_knob()
    states = acted(state, ([1, -0.3, SHUT], 10), ([0, -1, SHUT], 20))
    for before, after in pairwise([state, *states]):
        assert after[HAND][0].item() == pytest.approx(state[DRAWER][0].item(), abs=1e-3)
        if after[PULL] < LONGEST:
            assert (after[PULL] - before[PULL]).item() == pytest.approx((before[HAND] - after[HAND])[1].item(), abs=1e-3)
    assert states[-1][PULL].item() == LONGEST
    assert torch.equal(states[-1][DRAWER], state[DRAWER])


def test_a_puck_is_pushed_ahead_of_the_hand_and_not_pulled() -> None:
    state = table(hand=(HAND, [0.0, -0.6]), puck=(PUCK, [0.0, -0.3]))
    pushed = acted(state, ([0, 1, 5.0], 14))[-1]
    assert (pushed[PUCK] - pushed[HAND]).tolist() == pytest.approx([0, CONTACT], abs=1e-6)
    assert pushed[PUCK][1] > 0
    left = acted(pushed, ([0, -1, 5.0], 10))[-1]
    assert (left[PUCK] - pushed[PUCK]).norm() < 0.02


def test_a_puck_hit_off_centre_comes_to_lie_ahead() -> None:
    state = table(hand=(HAND, [0.0, -0.8]), puck=(PUCK, [0.05, -0.6]))
    states = acted(state, ([0, 1, 5.0], 20))
    asides = [(each[PUCK] - each[HAND])[0].item() for each in states[6:]]
    assert asides[-1] < 0.01
    assert all(later <= earlier + 1e-9 for earlier, later in pairwise(asides))


def scattered(count: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """States of all skills, half of them with the hand at a thing; actions; changed dynamics."""
    rng = torch.Generator().manual_seed(3)
    parts = [start(skill, torch.rand(count, UNIFORMS, generator=rng, dtype=torch.float64)) for skill in SKILLS]
    states = torch.cat(parts)
    near_block = states[:, BLOCK] + 0.03 * torch.randn(len(states), 2, generator=rng)
    states[::2, HAND] = near_block[::2]
    near_puck = states[:, PUCK] + 0.1 * torch.randn(len(states), 2, generator=rng)
    states[::3, HAND] = near_puck[::3]
    states[:, GRIP] = 0.1 + 0.8 * torch.rand(len(states), 1, generator=rng)
    states[:, VELOCITY] = 0.3 * torch.randn(len(states), 2, generator=rng)
    actions = torch.randn(len(states), ACTION, generator=rng)
    dynamics = dynamics_of() + 0.2 * torch.rand(len(states), DYNAMICS, generator=rng)
    return states.to(dtype), actions.to(dtype), dynamics.to(dtype)


def test_vmap_gives_what_the_batch_and_the_loop_give() -> None:
    states, actions, dynamics = scattered(4, torch.float64)
    batch = step(states, actions, dynamics)
    assert batch.shape == (len(states), STATE)
    assert torch.allclose(torch.vmap(step)(states, actions, dynamics), batch, atol=1e-12)
    loop = [step(*each) for each in zip(states, actions, dynamics, strict=True)]
    assert torch.allclose(torch.stack(loop), batch, atol=1e-12)
    assert torch.equal(step(states, actions, dynamics), batch)


def test_gradients_agree_with_finite_differences() -> None:
    arguments = [each[::2].requires_grad_() for each in scattered(2, torch.float64)]
    assert torch.autograd.gradcheck(step, arguments, eps=1e-7, atol=1e-4)


def test_wild_actions_leave_everything_finite_and_on_the_table() -> None:
    states, _, dynamics = scattered(20)
    rng = torch.Generator().manual_seed(0)
    for number in range(100):
        actions = torch.randn(len(states), ACTION, generator=rng) * 10.0 ** (number % 40)
        states = step(states, actions, dynamics)
    states = step(states, torch.full((len(states), ACTION), math.inf), dynamics)
    assert states.isfinite().all()
    assert states[:, HAND].abs().max() <= 1 + 1e-6
    assert states[:, PUCK].abs().max() <= 1


def test_dynamics_have_names() -> None:
    assert dynamics_of(mass=2.0).tolist() == pytest.approx([{**USUAL_DYNAMICS, "mass": 2.0}[name] for name in USUAL_DYNAMICS])
    with pytest.raises(KeyError, match="weight"):
        dynamics_of(weight=2.0)


@pytest.mark.gpu
def test_a_cuda_graph_holds_the_step() -> None:
    arguments = [each.cuda() for each in scattered(4)]
    expected, graph, side = step(*arguments), torch.cuda.CUDAGraph(), torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        step(*arguments)
    torch.cuda.current_stream().wait_stream(side)
    with torch.cuda.graph(graph):
        result = step(*arguments)
    graph.replay()
    assert torch.allclose(result, expected)

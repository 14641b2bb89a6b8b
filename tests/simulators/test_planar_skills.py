"""Skills, experts and rollouts of the planar world."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state

from metacl_run.simulators.planar_experts import expert
from metacl_run.simulators.planar_rollouts import demonstrations, path, return_of, succeeds
from metacl_run.simulators.planar_skills import HORIZON, PLACES, UNIFORMS, observation_size, observe, progress, reached, start
from metacl_run.simulators.planar_world import (
    ACTION,
    ANGLE,
    BLOCK,
    DRAWER,
    GRIP,
    HAND,
    HINGE,
    PUCK,
    PULL,
    SKILLS,
    STATE,
    TARGET,
    TASK,
    VELOCITY,
    door_handle,
    drawer_knob,
    dynamics_of,
    step,
)


def starts(count: int, seed: int = 0) -> Tensor:
    """States [skills, count, STATE] to begin from."""
    rng = torch.Generator().manual_seed(seed)
    return torch.stack([start(skill, torch.rand(count, UNIFORMS, generator=rng)) for skill in SKILLS])


def test_everything_starts_in_its_place_and_nothing_is_done_yet() -> None:
    states = starts(500)
    assert not reached(states).any()
    for name, part in {"hand": HAND, "block": BLOCK, "puck": PUCK, "target": TARGET}.items():
        for axis, (low, high) in enumerate(PLACES[name]):
            values = states[..., part][..., axis]
            assert low <= values.min() < low + 0.05
            assert high - 0.05 < values.max() <= high
    assert torch.equal(states[..., TASK], torch.eye(len(SKILLS))[:, None].expand(-1, 500, -1))


def test_a_skill_is_judged_by_its_own_goal() -> None:
    states = starts(1)[:, 0]
    states[:, HAND] = states[:, TARGET] + torch.tensor([0.05, 0.0])
    assert reached(states).tolist() == [skill == "reach" for skill in SKILLS]
    assert progress(states)[:, 0].tolist() == pytest.approx([0.06**2 - 0.05**2] * len(SKILLS), abs=1e-6)
    states[:, HAND] = states[:, TARGET] + torch.tensor([0.05, 0.05])
    assert not reached(states).any()
    states[:, PUCK] = states[:, BLOCK] = states[:, TARGET]
    assert reached(states).tolist() == [skill in {"push", "pick_place"} for skill in SKILLS]


def test_experts_succeed() -> None:
    rates = succeeds(expert, starts(500), dynamics_of(), HORIZON).float().mean(-1)
    assert rates.min() >= 0.99


def test_doing_nothing_succeeds_at_nothing() -> None:
    assert not succeeds(lambda states: torch.zeros_like(states[..., :ACTION]), starts(50), dynamics_of(), HORIZON).any()


def test_experts_are_smooth() -> None:
    """On a way around the puck, across each thing, and while the gripper shuts, the action changes little by little."""
    states = starts(1).double().expand(-1, 2000, -1).clone()
    line = torch.linspace(-0.3, 0.3, 2000, dtype=torch.float64)
    turn = line * torch.pi / 0.3
    states[..., GRIP] = 0.3
    around, across, shutting = states.clone(), states.clone(), states.clone()
    around[..., HAND] = states[..., PUCK] + 0.14 * torch.stack([turn.cos(), turn.sin()], -1)
    handle, knob = door_handle(states[..., HINGE], states[..., ANGLE])[0], drawer_knob(states[..., DRAWER], states[..., PULL])
    for thing in (states[..., BLOCK], handle, knob):
        across[..., HAND] = thing + torch.stack([line, 0.01 + 0 * line], -1)
        shutting[..., HAND] = thing + 0.01
        shutting[..., GRIP] = 0.5 + line[:, None] / 0.6
        for sweep in (around, across, shutting):
            assert expert(sweep).diff(dim=1).norm(dim=-1).max() < 0.1  # a script with thresholds jumps by 1


def test_noise_is_acted_and_labels_are_the_experts() -> None:
    states, usual = starts(3), dynamics_of()
    noise = 0.5 * torch.randn(4, *states.shape[:-1], ACTION, generator=torch.Generator().manual_seed(1))
    visited, actions = demonstrations(states, usual, noise)
    assert visited.shape == (4, *states.shape)
    for number in range(4):
        assert torch.equal(visited[number], states)
        assert torch.equal(actions[number], expert(states))
        states = step(states, expert(states) + noise[number], usual)
    assert torch.equal(path(expert, visited[0], usual, 3, noise), visited)


def test_success_at_any_time_counts_and_is_that_of_the_path() -> None:
    states, usual = starts(30), dynamics_of()
    for horizon in (20, 35):
        along = reached(path(expert, states, usual, horizon)).any(0)
        assert 0 < along.float().mean() < 1
        assert torch.equal(succeeds(expert, states, usual, horizon), along)


def test_an_observation_tells_the_task_or_does_not() -> None:
    states = starts(2)
    told, untold = observe(states, with_task=True), observe(states, with_task=False)
    assert told.shape[-1] == observation_size(with_task=True)
    assert untold.shape[-1] == observation_size(with_task=False)
    assert torch.equal(told, torch.cat([untold, states[..., TASK]], -1))
    other = states.roll(1, 0)
    same_scene = torch.cat([states[..., : TASK.start], other[..., TASK]], -1)
    assert torch.equal(observe(same_scene, with_task=False), untold)
    assert torch.equal(untold[..., :5], torch.cat([states[..., HAND], states[..., VELOCITY], states[..., GRIP]], -1))


def test_replicates_act_in_one_vmapped_call() -> None:
    networks = [torch.nn.Linear(observation_size(with_task=True), ACTION) for _ in range(3)]
    stacked = stack_module_state(networks)[0]  # type: ignore[arg-type]
    states, dynamics = starts(4), dynamics_of() + 0.1 * torch.rand(len(SKILLS), 4, 10)

    def last(parameters: dict[str, Tensor]) -> Tensor:
        return path(
            lambda now: functional_call(networks[0], parameters, (observe(now, with_task=True),)), states, dynamics, 12
        )[-1]

    with torch.no_grad():
        together = torch.vmap(last)(stacked)
        alone = [last(dict(network.named_parameters())) for network in networks]
    assert together.shape == (3, len(SKILLS), 4, STATE)
    assert torch.allclose(together, torch.stack(alone), atol=1e-4)


def test_the_return_of_a_reach_has_the_gradient_of_finite_differences() -> None:
    states = starts(2)[0].double()
    noise = 0.1 * torch.randn(5, 2, ACTION, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

    def value(weights: Tensor, dynamics: Tensor) -> Tensor:
        visited = path(lambda now: observe(now, with_task=False) @ weights, states, dynamics, 5, noise)
        return return_of(visited, states[:, TARGET])

    weights = 0.1 * torch.randn(observation_size(with_task=False), ACTION, dtype=torch.float64)
    arguments = weights.requires_grad_(), dynamics_of().double().requires_grad_()
    assert torch.autograd.gradcheck(value, arguments, atol=1e-5, fast_mode=True)
    visited = path(expert, states, dynamics_of().double(), 1)
    assert torch.allclose(return_of(visited, visited[1, :, HAND] + torch.tensor([3.0, 4.0])), torch.tensor(-5.0).double())


def test_nothing_looks_at_the_data() -> None:
    """On the device that has no data every look at them, and every tensor of another device, is an error."""
    states, usual = start("push", torch.rand(5, UNIFORMS, device="meta")), dynamics_of().to("meta")
    assert succeeds(expert, states, usual, 3).shape == (5,)
    assert return_of(path(expert, states, usual, 3, torch.rand(3, 5, ACTION, device="meta")), states[:, TARGET]).shape == (5,)
    assert observe(states, with_task=True).device.type == "meta"


def test_a_policy_learns_to_reach_by_gradient_through_the_world() -> None:
    states, usual = starts(8)[0], dynamics_of()
    weights = torch.zeros(observation_size(with_task=False), ACTION, requires_grad=True)
    optimiser = torch.optim.Adam([weights], 0.1)
    returns = []
    for _ in range(10):
        value = return_of(
            path(lambda now: observe(now, with_task=False) @ weights, states, usual, 25), states[:, TARGET]
        ).mean()
        optimiser.zero_grad()
        (-value).backward()
        optimiser.step()
        returns.append(value.item())
    assert returns[0] < -0.9
    assert returns[-1] > -0.7

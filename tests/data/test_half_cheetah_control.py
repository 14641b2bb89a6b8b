"""Bodies of HalfCheetah in processes, with made-up bodies of our own: every body in its place, whatever the processes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from metacl_run.core.errors import SimulatorError
from metacl_run.data.sources import half_cheetah_dynamics
from metacl_run.data.sources.half_cheetah_control import HalfCheetahControl
from tests.data.test_half_cheetah_dynamics import SOURCE
from tests.support.cheetah_recorder import MadeUpBodies, NoRecorder

NUMBERS = np.array([[[0, 1, 0], [2, 2, 2]], [[1, 1, 0], [2, 2, 2]]])  # gravity:0.5, gravity:2; cripple:bshin


def control(processes: int) -> HalfCheetahControl:
    rngs = [[np.random.default_rng([seed, task]) for task in range(2)] for seed in range(2)]
    return dataclasses.replace(SOURCE, processes=processes).control_episodes(NUMBERS, rngs, 4)


@pytest.mark.parametrize("processes", [1, 4])
def test_every_body_is_its_own_whatever_the_processes(processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(half_cheetah_dynamics, "HalfCheetahBodies", MadeUpBodies)
    bodies = control(processes)
    assert bodies.dynamics[1] == ["gravity:2", "gravity:2", "gravity:0.5", *["cripple:bshin"] * 3]
    actions = torch.linspace(-1, 1, 2 * 6 * 6).view(2, 6, 6)
    for _ in range(2):  # they begin where they began
        world, window = bodies.begin()
        assert (window.states.shape, window.actions.shape) == ((2, 6, 5, 17), (2, 6, 4, 6))
        _, states, rewards = bodies.step(world, actions)
        for place in np.ndindex(2, 6):
            alone, name = MadeUpBodies(), bodies.dynamics[place[0]][place[1]]
            begun = alone.begin([0], np.array([name], object), bodies.seeds[place][None], bodies.actions[place][None])
            expected, reward = alone.step([0], actions[place][None].double().numpy())
            np.testing.assert_array_equal(window.states[place], begun[0])
            np.testing.assert_array_equal(states[place], expected[0])
            assert rewards[place] == reward[0]
    assert len(np.unique(bodies.seeds)) == 12


def test_a_process_that_fails_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(half_cheetah_dynamics, "HalfCheetahBodies", NoRecorder)
    with pytest.raises(SimulatorError, match="nothing is to be made"):
        control(2).begin()


def test_the_reward_that_a_model_expects_is_speed_less_the_cost_of_the_action() -> None:
    states, actions = torch.zeros(3, 17), torch.tensor([[0.0] * 6, [1.0] * 6, [0.5] + [0.0] * 5])
    states[:, 8] = torch.tensor([1.0, 2.0, -1.0])
    rewards = control(1).rewards(actions, states, torch.empty(3, 0))
    torch.testing.assert_close(rewards, torch.tensor([1.0, 2.0 - 0.6, -1.0 - 0.025]))

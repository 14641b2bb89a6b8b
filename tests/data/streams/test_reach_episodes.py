"""Policies by gradient: paths are the planar world's; the gradient of the return goes through the whole inner loop."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from metacl_run.algorithms.continual_meta.maml import Maml
from metacl_run.config.load import Experiment
from metacl_run.core.errors import ConfigError
from metacl_run.core.types import Episode
from metacl_run.data.streams.reach_episodes import REACHING
from metacl_run.models.network import Network, initial_params
from metacl_run.simulators.planar_reach import rollout
from metacl_run.simulators.planar_rollouts import path
from metacl_run.simulators.planar_world import ACTION, DYNAMICS, HAND, STATE, VELOCITY

TINY = ["data=planar_reach_rl", "data.horizon=5", "data.shots=3", "data.queries=2", "model.hidden=[4]", "algo.inner_lr=0.6"]


def one_episode(built: Experiment, task: int) -> Episode:
    episode = built.data.load([0]).sample(np.full((1, 1), task), "train", shots=3, queries=2, rngs=[np.random.default_rng(1)])
    return Episode(*(leaf[0, 0].double() if leaf.is_floating_point() else leaf[0, 0] for leaf in episode))


def network_of(built: Experiment) -> tuple[Network, dict[str, torch.Tensor]]:
    data = built.data
    module, params = initial_params(built.model, data.network_shape, data.outputs, 0, torch.float64)
    return Network(module, data.outputs, objective=data.objective, rollout=data.rollout), params


@pytest.mark.parametrize("names", [["usual", "mirrored", "turned"], ["reversed", "tilted", "heavy", "weak", "aslant"]])
def test_a_rollout_is_the_path_of_the_planar_world(names: list[str], experiment: Callable[..., Experiment]) -> None:
    built = experiment(f"data.dynamics=[{','.join(names)}]", "data.noise=0.5", tiny=TINY)
    network, params = network_of(built)
    for task in range(len(names)):
        x = one_episode(built, task).support_x
        start, dynamics, noise = x.split([2, DYNAMICS, 10], -1)
        states = torch.full((3, STATE), 9.0, dtype=torch.float64)  # everything else far away
        states[:, HAND], states[:, VELOCITY], states[:, 7:9] = start, 0.0, 1.0

        def policy(states: torch.Tensor) -> torch.Tensor:
            push = network._outputs(params, states[:, :4])
            return torch.nn.functional.pad(push, (0, ACTION - 2))

        pushes = torch.nn.functional.pad(noise.unflatten(-1, (5, 2)).movedim(1, 0), (0, 1))
        expected = path(policy, states, dynamics, 5, pushes)[1:, :, HAND]
        torch.testing.assert_close(network(params, x), expected.movedim(0, 1).flatten(1))


def test_the_gradient_of_the_return_goes_through_the_whole_inner_loop(experiment: Callable[..., Experiment]) -> None:
    """Against finite differences of the return after adaptation, in every parameter."""
    built = experiment("algo.inner_steps=2", "algo.eval_inner_steps=2", "data.dynamics=[turned]", tiny=TINY)
    assert isinstance(built.algo, Maml)
    network, params = network_of(built)
    episode = one_episode(built, 0)

    def loss_after(moved: dict[str, torch.Tensor]) -> float:
        fast = built.algo.learn(network, {"params": moved}, {}, episode)
        places = rollout(lambda seen: network._outputs(fast, seen), episode.query_x).unflatten(-1, (5, 2))
        return float((places - episode.query_y[:, None]).square().mean())

    update = built.algo.episode_update(network, {"params": params}, {}, episode)
    assert update.metrics["loss"].item() == pytest.approx(loss_after(params))
    for name, value in params.items():
        for index in range(value.numel()):
            sides = []
            for sign in (1, -1):
                moved = {key: leaf.clone() for key, leaf in params.items()}
                moved[name].view(-1)[index] += sign * 1e-6
                sides.append(loss_after(moved))
            expected = (sides[0] - sides[1]) / 2e-6
            assert update.direction["params"][name].reshape(-1)[index].item() == pytest.approx(expected, rel=1e-5, abs=1e-8)


def test_loss_slope_and_success() -> None:
    paths = torch.tensor([[0.3, 0.4, 0.05, 0.0], [0.0, 0.0, 0.6, 0.8]], requires_grad=True)
    goals = torch.zeros(2, 2)
    torch.testing.assert_close(REACHING.losses(paths, goals), torch.tensor([(0.25 + 0.0025) / 4, 0.25]))
    assert REACHING.scores(paths, goals).tolist() == [1.0, 0.0]
    (slope,) = torch.autograd.grad(REACHING.losses(paths, goals).sum(), paths)
    torch.testing.assert_close(REACHING.slope(paths, goals), slope)


def test_an_episode_has_one_goal_and_the_dynamics_of_its_task(make: Callable[..., Any]) -> None:
    pool = make("planar_reach_rl", dynamics=["usual", "mirrored"]).load([0, 1])
    tasks = np.array([[0, 1, 1], [1, 0, 0]])
    draws = [
        pool.sample(tasks, split, shots=3, queries=2, rngs=[np.random.default_rng(s) for s in (0, 1)])
        for split in ("test", "test", "validation")
    ]
    episode = draws[0]
    assert (episode.support_y == episode.support_y[:, :, :1]).all()
    assert (episode.query_y == episode.support_y[:, :, :1]).all()
    motor_x = episode.support_x[..., 2]
    assert torch.equal(motor_x[:, :, 0], torch.tensor([[1.0, -1.0, -1.0], [-1.0, 1.0, 1.0]]))
    assert torch.equal(draws[0].query_x, draws[1].query_x)
    assert not torch.isin(draws[2].query_y, draws[0].query_y).any()


def test_unknown_dynamics_are_refused(make: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match=re.escape("mirored is not one of usual, mirrored") + r".*Did you mean mirrored\?"):
        make("planar_reach_rl", dynamics=["mirored"])

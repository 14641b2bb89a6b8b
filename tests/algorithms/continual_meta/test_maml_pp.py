"""The parts of MAML++ against a loop by autograd: rates of every step, the loss after every step, second derivatives later."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.nn.functional import cross_entropy

from metacl_run.algorithms.continual_meta.maml import step_weights
from metacl_run.core.errors import SettingError
from tests.algorithms.test_algorithms import MAML, start
from tests.support.episodes import toy_episode

STEPS, MULTI, FIRST = 3, 4, 2
ALL_PARTS = dataclasses.replace(MAML, inner_steps=STEPS, step_rates=True, multi_step_updates=MULTI, first_order_updates=FIRST)


def released_weights(epoch: int, steps: int, epochs: int) -> list[float]:
    """As the authors' code has them (few_shot_learning_system.py), number by number."""
    if epoch >= epochs:
        return [0.0] * (steps - 1) + [1.0]
    decay, least = 1.0 / steps / epochs, 0.03 / steps
    weights = [max(1.0 / steps - epoch * decay, least) for _ in range(steps - 1)]
    return [*weights, min(1.0 / steps + epoch * (steps - 1) * decay, 1.0 - (steps - 1) * least)]


@pytest.mark.parametrize("updates", [0, 1, 3, 4, 5])
def test_weights_of_the_losses_are_the_released_ones(updates: int) -> None:
    weights = step_weights(torch.tensor(float(updates), dtype=torch.float64), STEPS, MULTI)
    torch.testing.assert_close(weights, torch.tensor(released_weights(updates, STEPS, MULTI), dtype=torch.float64))
    assert step_weights(torch.zeros((), dtype=torch.float64), 1, MULTI).tolist() == [1.0]


@pytest.mark.parametrize("updates", [0, 2, 3, 5])
def test_direction_equals_a_loop_by_autograd(updates: int) -> None:
    """First order until the second update, losses of all steps until the fourth."""
    network, state = start(ALL_PARTS)
    episode, generator = toy_episode(), torch.Generator().manual_seed(3)
    for rate in state["meta"]["rates"].values():
        rate += 0.2 * torch.rand(rate.shape, dtype=rate.dtype, generator=generator)  # differ, as after some updates
    carry = {"updates": torch.tensor(float(updates), dtype=torch.float64)}
    update = ALL_PARTS.episode_update(network, state["meta"], carry, episode)

    params, rates = (
        {key: value.clone().requires_grad_() for key, value in state["meta"][part].items()} for part in state["meta"]
    )
    fast, total, second = dict(params), torch.zeros((), dtype=torch.float64), updates >= FIRST
    for step, weight in enumerate(released_weights(updates, STEPS, MULTI)):
        inner = cross_entropy(network(fast, episode.support_x), episode.support_y)
        gradients = torch.autograd.grad(inner, list(fast.values()), create_graph=second)
        fast = {name: fast[name] - rates[name][step] * g for name, g in zip(fast, gradients, strict=True)}
        loss = cross_entropy(network(fast, episode.query_x), episode.query_y)
        total = total + weight * loss
    total.backward()
    for part, tensors in (("params", params), ("rates", rates)):
        for key, value in tensors.items():
            torch.testing.assert_close(update.direction[part][key], value.grad, rtol=1e-9, atol=1e-11)
    assert update.carry["updates"] == updates + 1
    assert update.metrics["loss"].item() == pytest.approx(loss.item())


def test_steps_at_evaluation_beyond_the_learned_take_the_last_rates() -> None:
    learner = dataclasses.replace(ALL_PARTS, eval_inner_steps=STEPS + 2)
    network, state = start(learner)
    episode, rates = toy_episode(), state["meta"]["rates"]
    for step in range(STEPS):
        for rate in rates.values():
            rate[step] = 0.1 * (step + 1)
    fast = dict(state["meta"]["params"])
    for rate in (0.1, 0.2, 0.3, 0.3, 0.3):
        fast = {name: value.clone().requires_grad_() for name, value in fast.items()}
        loss = cross_entropy(network(fast, episode.support_x), episode.support_y)
        gradients = torch.autograd.grad(loss, list(fast.values()))
        fast = {name: (fast[name] - rate * g).detach() for name, g in zip(fast, gradients, strict=True)}
    adapted = learner.learn(network, state["meta"], state["carry"], episode)
    for name, value in fast.items():
        torch.testing.assert_close(adapted[name], value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"step_rates": True, "inner_lr": None, "rate_low": 0.1, "rate_high": 0.2},
            "step_rates=True: must be false with inner_lr",
        ),
        ({"step_rates": True, "inner_steps": 0}, "step_rates=True: must be false with inner_steps=0"),
        ({"multi_step_updates": 5, "inner_steps": 0}, "multi_step_updates=5: must be 0 with inner_steps=0"),
        ({"first_order_updates": 5, "inner_steps": 0}, "first_order_updates=5: must be 0 with inner_steps=0"),
        ({"first_order": True, "first_order_updates": 5}, "first_order_updates=5: must be 0 with first_order=true"),
    ],
)
def test_parts_that_would_do_nothing_are_refused(change: dict, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        dataclasses.replace(MAML, **change)

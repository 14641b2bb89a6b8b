"""Cloning the experts of the planar skills: jointly, one skill after another, and the same with a small replay buffer.

python scripts/planar_cloning.py: prints steps a second of one core, then success for each skill and processor seconds a seed.
50 demonstrations a skill, a perceptron that is told its task, Adam, mean squared error. The seeds are an axis of every tensor.
"""

from __future__ import annotations

import argparse
import time
from itertools import pairwise

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state

from metacl_run.simulators.planar_experts import expert
from metacl_run.simulators.planar_rollouts import demonstrations, succeeds
from metacl_run.simulators.planar_skills import HORIZON, UNIFORMS, observation_size, observe, start
from metacl_run.simulators.planar_world import ACTION, SKILLS, STATE, dynamics_of, step

DEMONSTRATIONS, NOISE, PLACEMENTS, BATCH, REMEMBERED, RATE = 50, 0.3, 200, 128, 200, 1e-3
Pairs = tuple[Tensor, Tensor]
"""Observations [R, N, observation] and actions [R, N, ACTION]."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--updates", type=int, default=2000, help="for each skill")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rng = torch.Generator().manual_seed(0)
    print(f"{steps_a_second(1000):,.0f} steps a second in a batch of 1,000, {steps_a_second(1):,.0f} one by one")
    usual = dynamics_of()
    states = [start(skill, torch.rand(args.seeds, DEMONSTRATIONS, UNIFORMS, generator=rng)) for skill in SKILLS]
    tests = torch.stack([start(skill, torch.rand(PLACEMENTS, UNIFORMS, generator=rng)) for skill in SKILLS])
    noise = [NOISE * torch.randn(HORIZON, args.seeds, DEMONSTRATIONS, ACTION, generator=rng) for _ in SKILLS]
    skills = [pairs_of(*demonstrations(each, usual, disturbance)) for each, disturbance in zip(states, noise, strict=True)]
    print(f"{args.seeds} seeds, {args.width}-{args.width}, {args.updates} updates a skill, {PLACEMENTS} new placements")
    print(f"{'':12}{''.join(f'{skill:>13}' for skill in SKILLS)}{'mean':>8}{'least':>8}{'most':>8}{'CPU s':>8}")
    show("experts", succeeds(expert, tests, usual, HORIZON).float().mean(-1)[None], 0.0)
    for kind in ("joint", "finetuning", "er"):
        began = time.process_time()
        networks = [perceptron(args.width, seed) for seed in range(args.seeds)]
        parameters = {name: value.detach().requires_grad_() for name, value in stack_module_state(networks)[0].items()}
        learn(networks[0], parameters, skills, kind, args.updates, rng)
        seconds = (time.process_time() - began) / args.seeds
        show(kind, success_rates(networks[0], parameters, tests, usual), seconds)


def steps_a_second(batch: int, steps: int = 300) -> float:
    states, actions, usual = torch.rand(batch, STATE), torch.randn(batch, ACTION), dynamics_of()
    began = time.process_time()
    for _ in range(steps):
        states = step(states, actions, usual)
    return batch * steps / (time.process_time() - began)


def perceptron(width: int, seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    sizes = (observation_size(with_task=True), width, width)
    hidden = [layer for size in pairwise(sizes) for layer in (torch.nn.Linear(*size), torch.nn.ReLU())]
    return torch.nn.Sequential(*hidden, torch.nn.Linear(width, ACTION))


def pairs_of(states: Tensor, actions: Tensor) -> Pairs:
    """Returns the pairs of demonstrations [T, R, N, ...] in one row for each seed."""
    return observe(states, with_task=True).transpose(0, 1).flatten(1, 2), actions.transpose(0, 1).flatten(1, 2)


def learn(
    network: torch.nn.Module, parameters: dict[str, Tensor], skills: list[Pairs], kind: str, updates: int, rng: torch.Generator
) -> None:
    if kind == "joint":
        fit(network, parameters, [together(skills)], updates * len(skills), rng)
        return
    buffer: list[Pairs] = []
    for pairs in skills:
        fit(network, parameters, [pairs, together(buffer)] if buffer and kind == "er" else [pairs], updates, rng)
        buffer.append(some(pairs, REMEMBERED, rng))


def fit(network: torch.nn.Module, parameters: dict[str, Tensor], sets: list[Pairs], updates: int, rng: torch.Generator) -> None:
    """Trains on batches with as many pairs of each set; the rate falls to a tenth."""
    apply = torch.vmap(lambda values, inputs: functional_call(network, values, (inputs,)))
    optimiser = torch.optim.Adam(parameters.values(), RATE, fused=True)
    rates = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.1, updates)
    for _ in range(updates):
        inputs, actions = together([some(pairs, BATCH, rng) for pairs in sets])
        loss = (apply(parameters, inputs) - actions).square().mean((1, 2)).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rates.step()


def together(sets: list[Pairs]) -> Pairs:
    return torch.cat([inputs for inputs, _ in sets], 1), torch.cat([actions for _, actions in sets], 1)


def some(pairs: Pairs, count: int, rng: torch.Generator) -> Pairs:
    """Returns pairs drawn with replacement, the same numbers for each seed."""
    chosen = torch.randint(pairs[0].shape[1], (count,), generator=rng)
    return pairs[0][:, chosen], pairs[1][:, chosen]


def success_rates(network: torch.nn.Module, parameters: dict[str, Tensor], tests: Tensor, dynamics: Tensor) -> Tensor:
    """Returns success rates [R, skills]: one call for all seeds, skills and placements."""

    def success_of(values: dict[str, Tensor]) -> Tensor:
        return succeeds(lambda now: functional_call(network, values, (observe(now, with_task=True),)), tests, dynamics, HORIZON)

    with torch.no_grad():
        return torch.vmap(success_of)(parameters).float().mean(-1)


def show(name: str, rates: Tensor, seconds: float) -> None:
    """Prints the mean over seeds for each skill; mean over skills, its least and most over seeds; processor seconds a seed."""
    means, overall = rates.mean(0).tolist(), rates.mean(-1)
    spread = f"{overall.mean():8.3f}{overall.min():8.3f}{overall.max():8.3f}"
    print(f"{name:12}{''.join(f'{rate:13.2f}' for rate in means)}{spread}{seconds:8.1f}", flush=True)


if __name__ == "__main__":
    main()

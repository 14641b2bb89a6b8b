"""Every learner of a stream whose tasks recur, beside a loop of plain autograd and torch.optim, written from its paper."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from metacl_run.algorithms.osaka.task_free_learner import Observed, TaskFreeLearner
from metacl_run.inner.engine import Engine
from metacl_run.models.network import Network
from tests.support.composing import experiment_of

INPUTS, WAYS, PER_CLASS, STEPS, VISIT = 4, 3, 2, 14, 4
"""A task stays for `VISIT` steps."""


class TwoLayers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(INPUTS, 6), nn.Linear(6, WAYS)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.body(x)))


def batches(seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    """The classes of the second task have each other's places; the third task is the first again."""
    generator = torch.Generator().manual_seed(seed)
    first = 2 * torch.randn(WAYS, INPUTS, dtype=torch.float64, generator=generator)
    centres = torch.stack([first, first.roll(1, 0)])
    y = torch.arange(WAYS).repeat_interleave(PER_CLASS)
    made = []
    for step in range(STEPS):
        noise = 0.3 * torch.randn(len(y), INPUTS, dtype=torch.float64, generator=generator)
        made.append((centres[step // VISIT % 2, y] + noise, y))
    return made


def start(seed: int = 1) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return {name: value.detach().clone() for name, value in TwoLayers().double().named_parameters()}


def built(name: str, *settings: str) -> Any:
    return experiment_of([f"algo={name}", *settings]).algo


def fast_run(algo: TaskFreeLearner, noise: list[Tensor] | None = None) -> Iterator[tuple[Tensor, bool]]:
    """(outputs before learning, whether a switch was detected) of every step, as the protocol computes them."""
    network = Network(TwoLayers().double(), WAYS)
    empty = torch.empty(0, dtype=torch.float64)
    stream = [Observed(x, y, empty if noise is None else noise[step]) for step, (x, y) in enumerate(batches())]
    rates = torch.zeros(sum(value.numel() for value in start().values()))
    state = algo.begin(network, algo.init(network, start(), rates, stream[0]))
    for batch in stream:
        outputs = algo.predict(network, state, batch.x)
        state, switch = algo.observe(network, state, batch)
        if algo.waits and algo.is_due(state):
            state = algo.late_update(network, Engine(kind="vmap"), state)
        yield outputs, bool(switch)


def outputs_of(params: dict[str, Tensor], x: Tensor) -> Tensor:
    return torch.func.functional_call(TwoLayers().double(), params, (x,))


def descended(params: dict[str, Tensor], pair: tuple[Tensor, Tensor], rate: float, steps: int) -> dict[str, Tensor]:
    """Gradient steps on a batch, differentiable."""
    for _ in range(steps):
        loss = cross_entropy(outputs_of(params, pair[0]), pair[1])
        slopes = torch.autograd.grad(loss, list(params.values()), create_graph=True)
        params = {name: value - rate * slope for (name, value), slope in zip(params.items(), slopes, strict=True)}
    return params


def loss_of(params: dict[str, Tensor], pair: tuple[Tensor, Tensor]) -> Tensor:
    return cross_entropy(outputs_of(params, pair[0]), pair[1])


def value_of(params: dict[str, Tensor], pair: tuple[Tensor, Tensor]) -> Tensor:
    return loss_of(params, pair).detach()


def fixed(params: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone().requires_grad_() for name, value in params.items()}


def agrees(fast: Iterator[tuple[Tensor, bool]], slow: list[tuple[Tensor, bool]]) -> None:
    for step, ((outputs, switch), (expected, is_switch)) in enumerate(zip(fast, slow, strict=True)):
        torch.testing.assert_close(outputs, expected, rtol=1e-7, atol=1e-9, msg=f"outputs of step {step}")
        assert switch == is_switch, f"switch at step {step}"


def one_rate(steps: int, outer: float) -> list[str]:
    return [
        *("algo.inner_lr=0.4", "algo.rate_low=null", "algo.rate_high=null", f"algo.stream_inner_steps={steps}"),
        *(f"algo.outer_lr={outer}", "algo.pretrain_updates=0"),
    ]


@pytest.mark.parametrize(
    ("update", "scale", "margin"),
    [("always", None, None), ("smooth", 0.5, 0.3), ("threshold", 0.9, 0.3), ("never", None, 0.3)],
)
def test_continual_maml(update: str, scale: float | None, margin: float | None) -> None:
    settings = [f"algo.update={update}", f"algo.update_scale={scale or 'null'}", f"algo.switch_margin={margin or 'null'}"]
    algo = built("continual_maml", *one_rate(2, 0.02), *settings)
    theta = fixed(start())
    adam = torch.optim.Adam(theta.values(), lr=0.02)
    slow: list[tuple[Tensor, bool]] = []
    phi, last = dict(theta), None
    for pair in batches():
        outputs = outputs_of(phi, pair[0])
        before = cross_entropy(outputs, pair[1])
        trial = descended(theta, pair, 0.4, 2)
        switch = last is not None and margin is not None and float(value_of(trial, pair)) + margin <= float(before.detach())
        slow.append((outputs.detach(), switch))
        gate = scale is None or update == "smooth" or float(before.detach()) > scale
        if last is not None and not switch and update != "never" and gate:
            outer = loss_of(descended(theta, last, 0.4, 2), pair)
            weight = 1 - math.exp(-scale * float(outer.detach())) if update == "smooth" and scale else 1.0
            adam.zero_grad()
            (weight * outer).backward()
            adam.step()
        phi, last = {name: value.detach() for name, value in descended(theta, pair, 0.4, 2).items()}, pair
    switches = [step for step, (_, switch) in enumerate(slow) if switch]
    assert margin is None or {VISIT, 2 * VISIT} <= set(switches)  # the stream is one in which something is detected
    agrees(fast_run(algo), slow)


def test_a_network_that_is_trained_on_the_stream_alone() -> None:
    algo = built("sgd_osaka", "algo.outer_lr=0.02")
    theta = fixed(start())
    adam = torch.optim.Adam(theta.values(), lr=0.02)
    slow = []
    for pair in batches():
        outputs = outputs_of(theta, pair[0])
        slow.append((outputs.detach(), False))
        adam.zero_grad()
        cross_entropy(outputs, pair[1]).backward()
        adam.step()
    agrees(fast_run(algo), slow)


@pytest.mark.parametrize("buffer", [3, 9])
def test_prolonged_maml(buffer: int) -> None:
    settings = [*one_rate(1, 0.02), "algo.switch_margin=0.3", "algo.update_scale=0.5", f"algo.buffer={buffer}"]
    algo = built("prolonged_maml", *settings)
    theta = fixed(start())
    adam = torch.optim.Adam(theta.values(), lr=0.02)
    slow: list[tuple[Tensor, bool]] = []
    waiting: list[tuple[Tensor, Tensor]] = []
    phi, starts, updates = dict(theta), True, 0
    for step, pair in enumerate(batches()):
        outputs = outputs_of(phi, pair[0])
        before = cross_entropy(outputs, pair[1]).detach()
        phi = fixed(descended(theta if starts else phi, pair, 0.4, 1))
        switch = step > 0 and float(value_of(phi, pair)) + 0.3 <= before
        slow.append((outputs.detach(), switch))
        if (switch and waiting) or len(waiting) == buffer:
            pool = waiting if len(waiting) > 1 else 2 * waiting
            half = math.ceil(len(pool) / 2)
            pairs = list(zip(pool, pool[half:], strict=False))
            losses = [loss_of(descended(theta, support, 0.4, 1), query) for support, query in pairs]
            outer = torch.stack(losses).mean()
            adam.zero_grad()
            ((1 - math.exp(-0.5 * float(outer.detach()))) * outer).backward()
            adam.step()
            waiting, updates = [], updates + 1
        else:
            waiting.append(pair)
        starts = switch
    assert updates >= 2
    agrees(fast_run(algo), slow)


@pytest.mark.parametrize("steps", [0, 1])
def test_bayesian_gradient_descent(steps: int) -> None:
    settings = ["algo.eta=0.7", "algo.initial_deviation=0.1", "algo.draws=3", "algo.inner_lr=0.2"]
    algo = built("bgd", *settings, f"algo.stream_inner_steps={steps}")
    generator = torch.Generator().manual_seed(5)
    mean = start()
    deviation = {name: torch.full_like(value, 0.1) for name, value in mean.items()}
    sizes = [value.numel() for value in mean.values()]
    noise = [torch.randn(3 * sum(sizes), dtype=torch.float64, generator=generator) for _ in range(STEPS)]
    slow, last = [], None
    for pair, numbers in zip(batches(), noise, strict=True):
        phi = mean if last is None else descended(fixed(mean), last, 0.2, steps)
        slow.append((outputs_of(phi, pair[0]).detach(), False))
        if steps == 0 or last is not None:
            slopes = {name: torch.zeros_like(value) for name, value in mean.items()}
            by_noise = copy.deepcopy(slopes)
            for flat in numbers.view(3, -1):
                parts = torch.split(flat, sizes)
                own = {name: part.view_as(mean[name]) for name, part in zip(mean, parts, strict=True)}
                theta = fixed({name: mean[name] + deviation[name] * own[name] for name in mean})
                adapted = theta if last is None else descended(theta, last, 0.2, steps)
                loss = len(pair[1]) * loss_of(adapted, pair)
                for name, slope in zip(theta, torch.autograd.grad(loss, list(theta.values())), strict=True):
                    slopes[name] += slope / 3
                    by_noise[name] += slope * own[name] / 3
            old = deviation
            mean = {name: mean[name] - 0.7 * old[name] ** 2 * slopes[name] for name in mean}
            deviation = {
                name: old[name] * torch.sqrt(1 + (0.5 * old[name] * by_noise[name]) ** 2)
                - 0.5 * old[name] ** 2 * by_noise[name]
                for name in mean
            }
        last = pair
    agrees(fast_run(algo, noise), slow)


@pytest.mark.parametrize("most", [2, 5])
def test_mole(most: int) -> None:
    settings = ["algo.inner_lr=0.3", "algo.temperature=2.0", "algo.concentration=0.8", "algo.stream_inner_steps=2"]
    algo = built("mole", *settings, f"algo.most_tasks={most}", "algo.pretrain_updates=0")
    prior = start()
    tasks: list[dict[str, Tensor]] = []
    counts: list[float] = []
    slow: list[tuple[Tensor, bool]] = []
    current = None
    for pair in batches():
        outputs = outputs_of(prior if current is None else tasks[current], pair[0]).detach()
        candidates = [*tasks, *([prior] if len(tasks) < most else [])]
        seats = [*counts, *([0.8] if len(tasks) < most else [])]
        fits = [
            math.log(seat) - len(pair[1]) * float(value_of(params, pair)) / 2.0
            for seat, params in zip(seats, candidates, strict=True)
        ]
        best = fits.index(max(fits))
        if best < len(tasks):
            fits = fits[: len(tasks)]
        else:
            tasks.append(prior)
            counts.append(0.0)
        shares = [math.exp(fit - max(fits)) for fit in fits]
        slow.append((outputs, current is not None and best != current))
        for place, share in enumerate(shares):
            chance = share / sum(shares)
            counts[place] += chance
            tasks[place] = {
                name: value.detach() for name, value in descended(fixed(tasks[place]), pair, 0.3 * chance, 2).items()
            }
        current = best
    assert [switch for _, switch in slow].count(True) >= 2
    agrees(fast_run(algo), slow)

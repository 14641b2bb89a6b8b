"""Rates that fall within every task: against `torch.optim.lr_scheduler`, and for every method against a constant rate."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler, MultiStepLR
from torch.utils._pytree import tree_map

from metacl_run.algorithms.online.er import Replay
from metacl_run.algorithms.online.ewc import Ewc
from metacl_run.algorithms.online.gem import Gem
from metacl_run.algorithms.online.gradient_learner import GradientLearner
from metacl_run.algorithms.online.mir import MaximallyInterfered
from metacl_run.algorithms.online.packnet import PackNet
from metacl_run.algorithms.online.rwalk import RiemannianWalk
from metacl_run.algorithms.online.si import SynapticIntelligence
from metacl_run.config.options import options_that_are
from metacl_run.core.errors import ConfigError
from metacl_run.core.types import NONE, Pytree
from tests.algorithms.online.slow_loops import (
    BATCH,
    PER_TASK,
    TASKS,
    Slow,
    SlowGem,
    SlowMir,
    SlowReplay,
    toy,
)
from tests.algorithms.online.slow_penalties import SlowEwc, SlowEwcPlusPlus, SlowSi
from tests.support.learners import ENGINE, TinyLearner, tiny_learner
from tests.support.settings import PLAIN_SGD

COMMON: dict[str, Any] = {"batch_size": BATCH, "lr": 0.2, **PLAIN_SGD}
BUFFER: dict[str, Any] = {**COMMON, "updates": 2, "memory": 7, "buffer": "reservoir"}
EWC = Ewc(**COMMON, strength=3.0, fisher_samples=7, decay=None, fisher="mean_of_squares")
RWALK = RiemannianWalk(**COMMON, strength=2.0, interval=2, fisher_rate=0.7, damping=0.001, earlier_scores=0.5)
METHODS: dict[str, tuple[GradientLearner, type[Slow]]] = {
    "sgd": (Replay(**{**BUFFER, "memory": 0}, replay=0, source="stream"), SlowReplay),
    "er": (Replay(**BUFFER, replay=4, source="stream"), SlowReplay),
    "si": (SynapticIntelligence(**COMMON, strength=0.7, damping=0.01), SlowSi),
    "mir": (MaximallyInterfered(**BUFFER, candidates=5, replay=2), SlowMir),
    "ewc": (EWC, SlowEwc),
    "rwalk": (RWALK, SlowEwcPlusPlus),
    "gem": (Gem(**COMMON, updates=1, memories_per_task=4, margin=0.0, damping=0.0), SlowGem),
}
OPTIMISERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "momentum": {"optimizer": "sgd", "momentum": 0.7, "weight_decay": 0.01},
    "adam": {"optimizer": "adam", "lr": 0.02},
}
SCHEDULES: dict[str, dict[str, Any]] = {
    "linear": {"lr_schedule": "linear"},
    "cosine": {"lr_schedule": "cosine"},
    "steps": {"lr_schedule": "steps", "lr_drops": [0.25, 0.7], "lr_drop_factor": 0.3},
}
CASES = [
    *itertools.product(["sgd", "er", "si", "mir"], OPTIMISERS, SCHEDULES),
    *((name, "plain", "steps") for name in ("ewc", "rwalk", "gem")),
]
OBSERVATIONS, EPOCHS = (4, 3, 2), 2
"""Of each task in a pass: those that the stream has, or fewer."""


def of_torch(slow: Slow, total: int) -> LRScheduler:
    """The scheduler of a task of so many steps, from the full rate on."""
    algorithm, optimizer = slow.algorithm, slow.optimizer
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] = algorithm.lr
    if algorithm.lr_schedule == "linear":
        return LambdaLR(optimizer, lambda step: 1 - step / total)
    if algorithm.lr_schedule == "cosine":
        return CosineAnnealingLR(optimizer, total)
    milestones = [math.ceil(drop * total) for drop in algorithm.lr_drops]
    return MultiStepLR(optimizer, milestones, algorithm.lr_drop_factor)


@pytest.mark.parametrize(("name", "optimiser", "schedule"), CASES)
def test_tasks_of_different_lengths_in_two_passes_equal_the_slow_loop(name: str, optimiser: str, schedule: str) -> None:
    algorithm, make = METHODS[name]
    algorithm = dataclasses.replace(algorithm, **OPTIMISERS[optimiser], **SCHEDULES[schedule])
    data = toy()
    observations, slow = data.observations(algorithm), make(algorithm, data)
    network, state = data.network, algorithm.init(data.network, data.params, TASKS)
    near = {"rtol": 1e-6, "atol": 1e-7} if name == "gem" else {"rtol": 1e-9, "atol": 1e-10}
    for task, length in enumerate(OBSERVATIONS):
        first, total = task * PER_TASK // BATCH, EPOCHS * length
        scheduler = of_torch(slow, total)
        for step, observed in enumerate(EPOCHS * observations[first : first + length]):
            share = torch.tensor(step / total, dtype=torch.float64)
            state, _ = algorithm.observe(network, state, observed._replace(share=share))
            slow.observe(observed)
            scheduler.step()
            tree_map(lambda a, b: torch.testing.assert_close(a, b, **near), state["params"], slow.now())
        samples = data.of_task(task, algorithm.num_consolidation_samples)
        state = algorithm.end_task(network, state, samples)
        slow.end_task(task, samples)


def test_the_drops_of_icarl() -> None:
    """A fifth of the rate after 49 and again after 63 of 70 epochs, of any number of observations."""
    algorithm = dataclasses.replace(METHODS["er"][0], lr=2.0, lr_schedule="steps")
    for length in (1, 7, 250, 333):
        observed = toy().observations(algorithm)[0]

        def rate(epoch: int, place: int, length: int = length, observed: Any = observed) -> float:
            share = torch.tensor((epoch * length + place) / (70 * length), dtype=torch.float64)
            return float(algorithm.lr_at(observed._replace(share=share)))

        rates = [rate(0, 0), rate(48, length - 1), rate(49, 0), rate(62, length - 1), rate(63, 0), rate(69, length - 1)]
        assert rates == pytest.approx([2, 2, 0.4, 0.4, 0.08, 0.08])


# ----------------------------------------------------------------------------------------------------- methods without a list

RATES = {"steps": 0.2 * 0.2, "linear": 1 - 0.96, "cosine": (1 + math.cos(math.pi * 0.96)) / 2}
"""What is left of a rate at a share of .96, by hand."""
LATE = torch.tensor(0.96, dtype=torch.float64)


def with_share(batch: Pytree, share: torch.Tensor) -> Pytree:
    observed, *rest = batch
    return observed._replace(share=share), *rest


def changed(learner: TinyLearner, **settings: Any) -> TinyLearner:
    return dataclasses.replace(learner, algo=dataclasses.replace(learner.algo, **settings))


def assert_near(a: Pytree, b: Pytree) -> None:
    tree_map(lambda x, y: torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-12), a, b)


@pytest.mark.parametrize("optimiser", ["plain", "adam"])
@pytest.mark.parametrize("name", options_that_are("algo", GradientLearner))
def test_every_method_steps_at_the_rate_of_its_schedule(name: str, optimiser: str) -> None:
    """The same as a constant rate that is so small, in an observation that comes late in a task; after one at the full rate."""
    full = changed(tiny_learner(name), **OPTIMISERS[optimiser])
    state, _ = full.update(full.start(seed=0), full.batch(seed=1))
    for schedule, left in RATES.items():
        if issubclass(type(full.algo), PackNet) and schedule != "steps":
            continue
        falling, small = changed(full, lr_schedule=schedule), changed(full, lr=left * full.algo.lr)
        batch = falling.batch(seed=2)
        after, metrics = falling.step(state, with_share(batch, LATE))
        assert_near((after, metrics), small.step(state, batch))
        assert any((after["params"][key] != value).any() for key, value in state["params"].items())


@pytest.mark.parametrize("name", options_that_are("algo", GradientLearner))
def test_replicates_side_by_side_have_rates_of_their_own(name: str) -> None:
    learner = changed(tiny_learner(name), lr_schedule="steps")
    shares = torch.tensor([0.1, 0.96], dtype=torch.float64)
    states, batches = ([make(seed) for seed in (3, 4)] for make in (learner.start, learner.batch))
    with_shares = [with_share(batch, share) for batch, share in zip(batches, shares, strict=True)]
    stacked = [tree_map(lambda *leaves: torch.stack(leaves), *parts) for parts in (states, with_shares)]
    together = ENGINE.over_replicates(learner.update)(*stacked)
    for replicate, (state, batch) in enumerate(zip(states, with_shares, strict=True)):
        assert_near(tree_map(lambda leaf: leaf[replicate], together), learner.update(state, batch))  # noqa: B023


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_task_is_not_retrained_at_a_rate_of_0(schedule: str) -> None:
    algo = tiny_learner("packnet").algo
    with pytest.raises(ValueError, match=f"lr_schedule={schedule}: must be constant or steps: a task is retrained at the rate"):
        dataclasses.replace(algo, lr_schedule=schedule)


# ------------------------------------------------------------------------------------------------- a method of one's own


@dataclasses.dataclass(frozen=True, kw_only=True)
class Own(SynapticIntelligence):
    """Takes its step as methods did before there were schedules."""

    def observe(self, network: Any, state: Any, observed: Any) -> Any:
        gradient = torch.func.grad(network.loss)(state["params"], *observed.batch)
        return self.step(gradient, state), {"loss": network.loss(state["params"], *observed.batch)}


def test_a_step_without_a_rate_is_at_a_constant_rate_and_refused_with_a_schedule() -> None:
    data, own = toy(), Own(**{**COMMON, "momentum": 0.5}, strength=1.0, damping=0.1)
    slow = Slow(own, data)
    state = own.init(data.network, data.params, TASKS)
    for observed in data.observations(own)[:3]:
        state, _ = own.observe(data.network, state, observed)
        slow.step(slow.loss(observed.batch))
    assert_near(state["params"], slow.now())
    falls = dataclasses.replace(own, lr_schedule="cosine")
    message = (
        r"^algo\.lr_schedule=cosine: must be constant: Own steps without a rate; in its code, self\.step\(gradient, state, "
    )
    with pytest.raises(ConfigError, match=message):
        falls.observe(data.network, state, observed._replace(share=LATE))


def test_an_observation_without_a_share_is_refused_with_a_schedule() -> None:
    data, si = toy(), dataclasses.replace(METHODS["si"][0], lr_schedule="linear")
    state, (observed, *_) = si.init(data.network, data.params, TASKS), data.observations(si)
    assert observed.share is NONE
    with pytest.raises(ConfigError, match=r"SynapticIntelligence learns from observations without `share`"):
        si.observe(data.network, state, observed)

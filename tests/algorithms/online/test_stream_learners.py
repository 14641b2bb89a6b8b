"""Replay, MER and the La-MAML family against loops written from the papers, in float64."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils._pytree import tree_map

from metacl_run.algorithms.online.er import Replay
from metacl_run.algorithms.online.la_maml import LaMaml
from metacl_run.algorithms.online.mer import Mer
from metacl_run.algorithms.online.stream_learner import StreamLearner
from metacl_run.core.types import Observation, Params, Samples, WeightedSamples
from metacl_run.inner import flat
from metacl_run.kernels import build
from metacl_run.models.layers import Perceptron
from metacl_run.models.network import Network
from tests.support.settings import PLAIN_SGD

INPUTS, OUTPUTS, CAPACITY = 6, 4, 8
LA_MAML = LaMaml(
    batch_size=4,
    inner_lr=0.1,
    inner_batch=1,
    inner_clip=None,
    inner_rates="positive",
    rate_lr=0.2,
    outer_lr=None,
    outer_optimizer="sgd",
    outer_momentum=0.0,
    glances=2,
    first_order=True,
    meta=True,
    variance_reduction=None,
    clip_norm=0.5,
    memory=CAPACITY,
    buffer="reservoir",
    replay=3,
)
MER = Mer(batch_size=1, lr=0.1, **PLAIN_SGD, beta=0.3, gamma=0.5, batches=2, memory=CAPACITY, buffer="reservoir", replay=3)
ER = Replay(batch_size=4, lr=0.1, **PLAIN_SGD, updates=2, memory=CAPACITY, buffer="reservoir", replay=3, source="stream")
VARIANTS = {
    "la_maml": LA_MAML,
    "second order": dataclasses.replace(LA_MAML, first_order=False),
    "two in a step": dataclasses.replace(LA_MAML, inner_batch=2),
    "clamped, signed": dataclasses.replace(LA_MAML, inner_clip=0.05, inner_rates="signed"),
    "clamped, signed, second order": dataclasses.replace(
        LA_MAML, inner_clip=0.05, inner_rates="signed", inner_batch=2, first_order=False
    ),
    "sync": dataclasses.replace(LA_MAML, outer_lr=0.05),
    "sync_adam": dataclasses.replace(LA_MAML, outer_lr=0.05, outer_optimizer="adam"),
    "sync_momentum": dataclasses.replace(LA_MAML, outer_lr=0.05, outer_momentum=0.8),
    "momentum": dataclasses.replace(LA_MAML, outer_momentum=0.5),
    "c_maml": dataclasses.replace(LA_MAML, rate_lr=None, outer_lr=0.05, clip_norm=None),
    "vr_mcl": dataclasses.replace(LA_MAML, outer_lr=0.05, variance_reduction=0.6),
    "vr_mcl, second order, fixed rates": dataclasses.replace(
        LA_MAML, outer_lr=0.05, rate_lr=None, first_order=False, clip_norm=None, variance_reduction=0.9
    ),
    "la_er": dataclasses.replace(LA_MAML, meta=False),
    "la_er, two in a step": dataclasses.replace(LA_MAML, meta=False, inner_batch=2, first_order=False),
}


def perceptron(smooth: bool = False) -> Network:
    """Two hidden layers; with a smooth non-linearity it is none that the compiled kernel takes."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        active = nn.Softplus if smooth else nn.ReLU
        body = nn.Sequential(nn.Linear(INPUTS, 5), active(), nn.Linear(5, 5), active())
        return Network(Perceptron(body, nn.Linear(5, OUTPUTS)).double(), OUTPUTS)


def params_of(network: Network) -> Params:
    return {name: p.detach().clone() for name, p in network.module.named_parameters()}


def observation(learner: StreamLearner, seed: int, held: int = 3) -> Observation:
    """Random samples; the memory held only `held` of the replayed ones."""
    generator = torch.Generator().manual_seed(seed)
    spec, batch = learner.replay_spec(2), learner.batch_size

    def samples(*shape: int) -> Samples:
        x = torch.randn(*shape, INPUTS, dtype=torch.float64, generator=generator).relu()
        y = torch.randint(0, OUTPUTS, shape, generator=generator)
        return Samples(x, y, torch.zeros_like(y))

    draws, size = spec.draws, spec.size
    weight = (torch.arange(size) < held).double().expand(draws, size).contiguous()
    order = torch.stack([torch.randperm(batch, generator=generator) for _ in range(draws)])
    slot = torch.zeros(draws, size, dtype=torch.int64)
    return Observation(samples(batch), order, samples(draws, size), weight, slot, torch.full((batch,), CAPACITY))


def loss(network: Network, params: Params, x: Tensor, y: Tensor) -> Tensor:
    return cross_entropy(network(params, x), y)


def joint(observed: Observation, draw: int) -> tuple[Tensor, Tensor]:
    real = observed.weight[draw] > 0
    x = torch.cat([observed.batch.x, observed.replay.x[draw][real]])
    return x, torch.cat([observed.batch.y, observed.replay.y[draw][real]])


def clipped(grads: dict[str, Tensor], norm: float | None) -> dict[str, Tensor]:
    if norm is None:
        return grads
    copies = [nn.Parameter(g) for g in grads.values()]
    for copy, g in zip(copies, grads.values(), strict=True):
        copy.grad = g.clone()
    torch.nn.utils.clip_grad_norm_(copies, norm)
    return {name: copy.grad for name, copy in zip(grads, copies, strict=True)}  # type: ignore[misc]


def hypergradient(
    network: Network, algo: LaMaml, at: Params, rates: Params, observed: Observation, glance: int
) -> tuple[Params, Params]:
    """The gradients of the meta-objective by weights and rates, with autograd, one sample, one tensor at a time."""
    theta = {name: p.detach().clone().requires_grad_() for name, p in at.items()}
    alpha = {name: rate.detach().clone().requires_grad_() for name, rate in rates.items()}
    order = observed.order[glance]
    x, y = observed.batch.x[order], observed.batch.y[order]
    joint_x, joint_y = joint(observed, glance)
    moving, losses = dict(theta), []
    for begin in range(0, algo.batch_size, algo.inner_batch):
        chunk = slice(begin, begin + algo.inner_batch)
        inner = loss(network, moving, x[chunk], y[chunk])
        if algo.first_order:
            constants = {name: p.detach().requires_grad_() for name, p in moving.items()}
            grads = torch.autograd.grad(loss(network, constants, x[chunk], y[chunk]), list(constants.values()))
        else:
            grads = torch.autograd.grad(inner, list(moving.values()), create_graph=True)
        if algo.inner_clip is not None:
            grads = [g.clamp(-algo.inner_clip, algo.inner_clip) for g in grads]
        rate = alpha if algo.inner_rates == "signed" else {name: a.clamp(min=0) for name, a in alpha.items()}
        moving = {name: p - rate[name] * g for (name, p), g in zip(moving.items(), grads, strict=True)}
        losses.append(loss(network, moving, joint_x, joint_y))
    objective = torch.stack(losses).mean() if algo.meta else losses[-1]
    names = list(theta)
    along = dict(zip(names, torch.autograd.grad(objective, [theta[n] for n in names], retain_graph=True), strict=True))
    by_rate = dict(zip(names, torch.autograd.grad(objective, [alpha[n] for n in names]), strict=True))
    if not algo.meta:
        fixed = {name: p.detach().requires_grad_() for name, p in theta.items()}
        grads = torch.autograd.grad(loss(network, fixed, joint_x, joint_y), list(fixed.values()))
        along = dict(zip(names, grads, strict=True))
    return along, by_rate


def la_maml_by_hand(network: Network, algo: LaMaml, state: Any, observed: Observation) -> Any:
    """Algorithm 1 of the paper; for VR-MCL with the momentum that is corrected at the weights of the update before."""
    theta, names = state["params"], list(state["params"])
    alpha = state.get("rates", {name: torch.full_like(p, algo.inner_lr) for name, p in theta.items()})
    past = state.get("past")  # the weights before the last update, and its momentum
    for glance in range(algo.glances):
        along, by_rate = hypergradient(network, algo, theta, alpha, observed, glance)
        along = clipped(along, algo.clip_norm)
        if past is not None:
            there, by_rate_there = hypergradient(network, algo, past[0], alpha, observed, glance)
            there = clipped(there, algo.clip_norm)
            along = {n: along[n] + algo.variance_reduction * (past[1][n] - there[n]) for n in names}
            by_rate = {n: by_rate[n] + by_rate_there[n] for n in names}
        if algo.variance_reduction is not None:
            past = theta, along
        by_rate = clipped(by_rate, algo.clip_norm)
        if algo.rate_lr is not None:
            alpha = {n: a.detach() - algo.rate_lr * by_rate[n] for n, a in alpha.items()}
        rate = {n: alpha[n].detach().clamp(min=0) if algo.outer_lr is None else algo.outer_lr for n in names}
        if algo.outer_optimizer == "adam":
            state = adam_by_torch(state, theta, along, algo.outer_lr)
            theta = state["theta"]
        else:
            if algo.outer_momentum:
                last = state.get("velocity", {n: torch.zeros_like(p) for n, p in theta.items()})
                along = {n: algo.outer_momentum * last[n] + along[n] for n in names}
                state = {**state, "velocity": along}
            theta = {n: p.detach() - rate[n] * along[n] for n, p in theta.items()}
    after = {"params": theta} if algo.rate_lr is None else {"params": theta, "rates": alpha}
    after |= {kind: state[kind] for kind in ("adam", "velocity") if kind in state}
    return after if past is None else {**after, "past": past}


def adam_by_torch(state: Any, theta: Any, along: Any, rate: float | None) -> Any:
    """One step of torch.optim.Adam, whose moments go on in `state["adam"]`."""
    weights = {name: p.detach().clone().requires_grad_() for name, p in theta.items()}
    assert rate is not None
    optimizer = torch.optim.Adam(weights.values(), lr=rate)
    if "adam" in state:
        optimizer.load_state_dict(state["adam"])
    for name, weight in weights.items():
        weight.grad = along[name].detach().clone()
    optimizer.step()
    return {**state, "theta": {name: w.detach() for name, w in weights.items()}, "adam": optimizer.state_dict()}


def assert_states_agree(found: Any, expected: Any, tolerance: float = 1e-10) -> None:
    tree_map(lambda a, b: torch.testing.assert_close(a, b.detach(), rtol=tolerance, atol=tolerance), found, expected)


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("name", VARIANTS)
def test_la_maml_follows_algorithm_1(name: str, smooth: bool) -> None:
    algo, network = VARIANTS[name], perceptron(smooth)
    found: Any = algo.init(network, params_of(network), 2)
    expected: Any = {part: found[part] for part in found if part not in ("reduction", "optimizer")}
    if "rates" in found:  # some rates are negative: cut off at 0
        generator = torch.Generator().manual_seed(9)
        drawn = {n: 0.2 * torch.randn(r.shape, dtype=torch.float64, generator=generator) for n, r in found["rates"].items()}
        found, expected = {**found, "rates": drawn}, {**expected, "rates": drawn}
    for seed, held in ((1, 0), (2, 2), (3, 3)):
        observed = observation(algo, seed, held)
        found, metrics = algo.observe(network, found, observed)
        expected = la_maml_by_hand(network, algo, expected, observed)
        assert metrics["loss"].isfinite()
    if algo.outer_optimizer == "adam":
        assert found.pop("optimizer")["steps"] == 3 * algo.glances
        del expected["adam"]
    if algo.outer_momentum:
        assert_states_agree(found.pop("optimizer"), {"velocity": expected.pop("velocity")})
    if algo.variance_reduction is not None:
        before, momentum = expected.pop("past")
        assert_states_agree(
            found.pop("reduction"), {"before": before, "momentum": momentum, "weight": torch.tensor(1.0).double()}
        )
    assert_states_agree(found, expected)


@pytest.mark.skipif(build.load() is None, reason="no compiled kernels here")
@pytest.mark.parametrize("name", ["la_maml", "sync", "sync_adam", "momentum", "c_maml", "la_er", "vr_mcl"])
def test_compiled_and_differentiated_agree(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    algo, network = VARIANTS[name], perceptron()
    state = algo.init(network, params_of(network), 2)
    observed = observation(algo, 1)
    fast, _ = algo.observe(network, state, observed)
    monkeypatch.setattr(network, "plain_layers", None)
    slow, _ = algo.observe(network, state, observed)
    assert_states_agree(fast, slow)


@pytest.mark.parametrize("name", VARIANTS)
def test_la_maml_moves_parameters_as_one_tensor_as_one_by_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    algo, network = VARIANTS[name], perceptron()
    states: Any = [algo.init(network, params_of(network), 2)] * 2
    for step in range(2):
        for one in (False, True):
            with monkeypatch.context() as patch:
                patch.setattr(flat, "belongs_side_by_side", lambda _: one)  # noqa: B023
                states[one], _ = algo.observe(network, states[one], observation(algo, step))
    assert_states_agree(states[0], states[1])


def test_the_second_order_meta_gradient_equals_finite_differences() -> None:
    algo, network = VARIANTS["second order"], perceptron(smooth=True)
    observed = observation(algo, 4)
    state = algo.init(network, params_of(network), 2)
    joint_x, joint_y = joint(observed, 0)
    weight = torch.ones(len(joint_y), dtype=torch.float64)
    batch, both = observed.batch, WeightedSamples(Samples(joint_x, joint_y, torch.zeros_like(joint_y)), weight)
    point = state["params"], state["rates"]
    *gradients, _ = algo._differentiated(network, *point, batch, both)
    step = 1e-6
    for which, gradient in enumerate(gradients):
        for name in ("body.0.weight", "head.bias"):
            moved = []
            for sign in (1, -1):
                shifted = [dict(part) for part in point]
                shifted[which][name] = shifted[which][name].clone()
                shifted[which][name].view(-1)[1] += sign * step
                moved.append(algo._differentiated(network, *shifted, batch, both)[2].item())
            assert gradient[name].view(-1)[1].item() == pytest.approx((moved[0] - moved[1]) / (2 * step), rel=1e-5)


@pytest.mark.parametrize(
    ("algo", "smooth"),
    [
        (MER, False),
        (MER, True),
        (dataclasses.replace(MER, optimizer="adam", lr=0.01), False),
        (dataclasses.replace(MER, momentum=0.8), False),
    ],
    ids=["sgd", "no kernel", "adam", "momentum"],
)
def test_mer_follows_algorithm_1(algo: Mer, smooth: bool) -> None:
    network = perceptron(smooth)
    found: Any = algo.init(network, params_of(network), 2)
    theta = [nn.Parameter(p) for p in params_of(network).values()]
    names = list(params_of(network))
    adam = algo.optimizer == "adam"
    optimizer: Any = torch.optim.Adam(theta, lr=algo.lr) if adam else torch.optim.SGD(theta, lr=algo.lr, momentum=algo.momentum)
    for seed, held in ((1, 0), (2, 2), (3, 3)):
        observed = observation(algo, seed, held)
        found, _ = algo.observe(network, found, observed)
        start = [p.detach().clone() for p in theta]
        for draw in range(algo.batches):
            before = [p.detach().clone() for p in theta]
            real = int(observed.weight[draw].sum())
            x = torch.cat([observed.batch.x, observed.replay.x[draw, :real]])
            y = torch.cat([observed.batch.y, observed.replay.y[draw, :real]])
            for i in range(len(y)):
                optimizer.zero_grad()
                loss(network, dict(zip(names, theta, strict=True)), x[i : i + 1], y[i : i + 1]).backward()
                optimizer.step()
            with torch.no_grad():
                for p, b in zip(theta, before, strict=True):
                    p.copy_(b + algo.beta * (p - b))
        with torch.no_grad():
            for p, s in zip(theta, start, strict=True):
                p.copy_(s + algo.gamma * (p - s))
    assert_states_agree({"params": found["params"]}, {"params": dict(zip(names, theta, strict=True))})


@pytest.mark.parametrize("source", ["stream", "seen"])
def test_replay_is_torch_optims_sgd_on_batch_and_draw(source: str) -> None:
    algo = ER if source == "stream" else dataclasses.replace(ER, source=source, memory=0, replay=0)
    network = perceptron()
    found: Any = algo.init(network, params_of(network), 2)
    names, theta = list(params_of(network)), [nn.Parameter(p) for p in params_of(network).values()]
    optimizer = torch.optim.SGD(theta, lr=algo.lr)
    for seed, held in ((1, 0), (2, 2)) if source == "stream" else ((1, 4), (2, 4)):
        observed = observation(algo, seed, held)
        found, _ = algo.observe(network, found, observed)
        for draw in range(algo.updates):
            x, y = joint(observed, draw) if source == "stream" else (observed.replay.x[draw], observed.replay.y[draw])
            optimizer.zero_grad()
            loss(network, dict(zip(names, theta, strict=True)), x, y).backward()
            optimizer.step()
    assert_states_agree(found, {"params": dict(zip(names, theta, strict=True))})

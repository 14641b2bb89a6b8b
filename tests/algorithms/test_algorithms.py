"""Every algorithm's direction against an independent answer: finite differences, torch.optim, a formula."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn
from torch.func import functional_call

from metacl_run.algorithms.continual_meta.episode_learner import EpisodeLearner
from metacl_run.algorithms.continual_meta.finetune import FineTune
from metacl_run.algorithms.continual_meta.maml import Maml
from metacl_run.algorithms.continual_meta.protonet import ProtoNet
from metacl_run.algorithms.continual_meta.r2d2 import R2D2
from metacl_run.algorithms.continual_meta.reptile import Reptile
from metacl_run.core.types import Episode
from metacl_run.inner.engine import Engine
from metacl_run.models.layers import BatchNorm
from metacl_run.models.network import Network
from metacl_run.protocols.continual_meta.scorer import predict_one_by_one
from tests.support.episodes import toy_episode

COMMON = {
    "meta_batch_size": 2,
    "outer_lr": 0.1,
    "outer_optimizer": "sgd",
    "outer_momentum": 0.0,
    "outer_schedule": "constant",
    "clip_norm": None,
    "clip_value": None,
    "replay": 0,
    "replay_share": 0.5,
    "train_shots": None,
    "train_queries": None,
}
MAML = Maml(
    **COMMON,  # type: ignore[arg-type]
    inner_lr=0.4,
    inner_steps=2,
    eval_inner_steps=3,
    first_order=False,
    plastic="all",
    rate_low=None,
    rate_high=None,
    rates_of="elements",
    step_rates=False,
    multi_step_updates=0,
    first_order_updates=0,
)
REPTILE = Reptile(
    **COMMON,  # type: ignore[arg-type]
    inner_optimizer="adam",
    inner_lr=0.01,
    inner_steps=4,
    inner_batch=3,
    eval_inner_steps=5,
    eval_inner_batch=6,
    carry_moments=True,
)
PROTONET = ProtoNet(**COMMON, frozen=False, train_ways=None)  # type: ignore[arg-type]
FINITE_DIFFERENCES = {
    "maml": MAML,
    "anil": dataclasses.replace(MAML, plastic="head"),
    "meta_sgd": dataclasses.replace(MAML, inner_lr=None, rate_low=0.1, rate_high=0.3),
    "maml of a rate a tensor": dataclasses.replace(MAML, inner_lr=None, rate_low=0.1, rate_high=0.3, rates_of="tensors"),
    "maml_pp": dataclasses.replace(MAML, step_rates=True),
    "protonet": PROTONET,
    "r2d2": R2D2(**COMMON, strength=0.5, scale=2.0, train_ways=None),  # type: ignore[arg-type]
}


class Smooth(nn.Module):
    """A small convolutional network whose every derivative exists (no ReLU, no max pooling)."""

    def __init__(self, outputs: int | None) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 3, 3, stride=2, bias=False), BatchNorm(3)
        self.head = nn.Identity() if outputs is None else nn.Linear(27, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.norm(self.conv(x))).flatten(1))


def start(algorithm: EpisodeLearner, ways: int = 3) -> tuple[Network, dict]:
    torch.manual_seed(1)
    module = Smooth(algorithm.num_outputs(ways)).double()
    params = {name: value.detach().clone() for name, value in module.named_parameters()}
    rates = torch.rand(sum(p.numel() for p in params.values()), dtype=torch.float64)
    network = Network(module, ways)
    return network, algorithm.start(network, params, rates)


def query_loss(algorithm: EpisodeLearner, network: Network, meta: dict, episode: Episode) -> float:
    """The loss after adapting, through `predict` alone: no code in common with the gradient under test but the inner step."""
    trained = dataclasses.replace(algorithm, eval_inner_steps=2) if isinstance(algorithm, Maml) else algorithm
    logits = trained.predict(network, meta, trained.learn(network, meta, {}, episode), episode.query_x)
    return nn.functional.cross_entropy(logits, episode.query_y).item()


@pytest.mark.parametrize("name", FINITE_DIFFERENCES)
def test_meta_gradient_equals_finite_differences(name: str) -> None:
    algorithm, episode = FINITE_DIFFERENCES[name], toy_episode()
    network, state = start(algorithm)
    direction = algorithm.episode_update(network, state["meta"], state["carry"], episode).direction
    generator, step, checked = torch.Generator().manual_seed(2), 1e-5, 0
    for part, tensors in state["meta"].items():
        for key, value in tensors.items():
            for index in torch.randint(value.numel(), (4,), generator=generator).tolist():
                sides = []
                for sign in (1, -1):
                    moved = {p: {k: v.clone() for k, v in t.items()} for p, t in state["meta"].items()}
                    moved[part][key].view(-1)[index] += sign * step
                    sides.append(query_loss(algorithm, network, moved, episode))
                expected = (sides[0] - sides[1]) / (2 * step)
                assert direction[part][key].reshape(-1)[index].item() == pytest.approx(expected, rel=1e-5, abs=1e-8)
                checked += 1
    assert checked >= 12


def test_fomaml_is_the_gradient_at_the_adapted_parameters() -> None:
    episode = toy_episode()
    network, state = start(MAML)
    params = {k: v.clone().requires_grad_() for k, v in state["meta"]["params"].items()}
    optimizer = torch.optim.SGD(params.values(), lr=MAML.inner_lr)
    for _ in range(MAML.inner_steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(params, episode.support_x), episode.support_y).backward()
        optimizer.step()
    optimizer.zero_grad()
    nn.functional.cross_entropy(network(params, episode.query_x), episode.query_y).backward()
    first = dataclasses.replace(MAML, first_order=True).episode_update(network, state["meta"], {}, episode).direction
    second = MAML.episode_update(network, state["meta"], {}, episode).direction
    for key, value in params.items():
        torch.testing.assert_close(first["params"][key], value.grad, rtol=1e-10, atol=1e-12)
    assert not torch.allclose(first["params"]["conv.weight"], second["params"]["conv.weight"], rtol=1e-2)


def test_first_order_anil_is_the_gradient_at_the_adapted_point_of_every_parameter() -> None:
    episode = toy_episode()
    algorithm = dataclasses.replace(MAML, plastic="head", first_order=True)
    network, state = start(algorithm)
    params = {k: v.clone().requires_grad_() for k, v in state["meta"]["params"].items()}
    optimizer = torch.optim.SGD([params["head.weight"], params["head.bias"]], lr=algorithm.inner_lr)
    for _ in range(algorithm.inner_steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(params, episode.support_x), episode.support_y).backward()
        optimizer.step()
    at = torch.autograd.grad(
        nn.functional.cross_entropy(network(params, episode.query_x), episode.query_y), list(params.values())
    )
    found = algorithm.episode_update(network, state["meta"], {}, episode).direction["params"]
    assert found.keys() == params.keys()
    for key, expected in zip(params, at, strict=True):
        assert expected.abs().max() > 1e-4
        torch.testing.assert_close(found[key], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("plastic", ["all", "head"])
def test_first_order_learned_rates_get_minus_inner_times_outer_gradient(plastic: str) -> None:
    episode = toy_episode()
    changed = {"inner_lr": None, "rate_low": 0.1, "rate_high": 0.3, "plastic": plastic, "first_order": True}
    algorithm = dataclasses.replace(MAML, **changed)  # type: ignore[arg-type]
    network, state = start(algorithm)
    rates, moving, total = state["meta"]["rates"], dict(state["meta"]["params"]), {}

    def gradient(x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
        leaves = {k: v.detach().requires_grad_() for k, v in moving.items()}
        loss = nn.functional.cross_entropy(network(leaves, x), y)
        return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))

    for _ in range(algorithm.inner_steps):
        inner = gradient(episode.support_x, episode.support_y)
        total = {k: total.get(k, 0) + inner[k] for k in rates}
        moving |= {k: moving[k] - rates[k] * inner[k] for k in rates}
    outer = gradient(episode.query_x, episode.query_y)
    found = algorithm.episode_update(network, state["meta"], {}, episode).direction
    assert found["rates"].keys() == rates.keys()
    for key, value in outer.items():
        torch.testing.assert_close(found["params"][key], value, rtol=1e-10, atol=1e-12)
    for key in rates:
        torch.testing.assert_close(found["rates"][key], -total[key] * outer[key], rtol=1e-10, atol=1e-12)


def test_reptile_moves_towards_where_torch_optim_ends() -> None:
    episode = toy_episode()
    batches = torch.stack([torch.randperm(6)[:3] for _ in range(REPTILE.inner_steps)])
    episode = episode._replace(batches=batches)
    network, state = start(REPTILE)
    update = REPTILE.episode_update(network, state["meta"], state["carry"], episode)
    params = {k: v.clone().requires_grad_() for k, v in state["meta"]["params"].items()}
    optimizer = torch.optim.Adam(params.values(), lr=REPTILE.inner_lr, betas=(0.0, 0.999))
    for index in batches:
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(params, episode.support_x[index]), episode.support_y[index]).backward()
        optimizer.step()
    for key, value in params.items():
        expected = state["meta"]["params"][key] - value.detach()
        torch.testing.assert_close(update.direction["params"][key], expected, rtol=1e-9, atol=1e-12)
        moments = optimizer.state[value]["exp_avg_sq"]
        torch.testing.assert_close(update.carry["square"][key], moments, rtol=1e-9, atol=1e-14)


def test_reptile_outer_step_is_epsilon_times_the_mean_displacement() -> None:
    episodes = toy_episode(episodes=2)
    network, state = start(REPTILE)
    after, _ = REPTILE.meta_update(network, Engine(kind="loop"), 10, state, episodes)
    single = [Episode(*(leaf[i] for leaf in episodes)) for i in range(2)]
    ends = [
        {
            k: state["meta"]["params"][k] - d
            for k, d in REPTILE.episode_update(network, state["meta"], state["carry"], e).direction["params"].items()
        }
        for e in single
    ]
    for key, value in state["meta"]["params"].items():
        expected = value + 0.1 * ((ends[0][key] + ends[1][key]) / 2 - value)
        torch.testing.assert_close(after["meta"]["params"][key], expected)


def test_protonet_classifies_by_the_nearest_mean() -> None:
    episode = toy_episode(shots=3)
    network, state = start(PROTONET)
    fast = PROTONET.learn(network, state["meta"], {}, episode)
    logits = PROTONET.predict(network, state["meta"], fast, episode.query_x)
    params = state["meta"]["params"]
    support, query = network(params, episode.support_x), network(params, episode.query_x)
    for i, feature in enumerate(query):
        for label in range(3):
            mean = support[episode.support_y == label].mean(0)
            assert logits[i, label].item() == pytest.approx(-((feature - mean) ** 2).sum().item())


@pytest.mark.parametrize("algorithm", [MAML, REPTILE, PROTONET], ids=["maml", "reptile", "protonet"])
def test_a_query_asked_alone_does_not_see_the_others(algorithm: EpisodeLearner) -> None:
    episode = toy_episode()
    network, state = start(algorithm)
    fast = algorithm.learn(network, state["meta"], state["carry"], episode)

    def outputs(x: torch.Tensor) -> torch.Tensor:
        return algorithm.predict(network, state["meta"], fast, x)

    fewer = episode._replace(query_x=episode.query_x[:1], query_y=episode.query_y[:1])
    alone = [predict_one_by_one(outputs, e)[0] for e in (episode, fewer)]
    torch.testing.assert_close(alone[0], alone[1])
    together = [outputs(e.query_x)[0] for e in (episode, fewer)]
    assert not torch.allclose(together[0], together[1], rtol=1e-3)


def test_asking_alone_appends_each_query_to_the_support() -> None:
    episode = toy_episode()
    network, state = start(MAML)
    adapted = MAML.learn(network, state["meta"], {}, episode)
    logits = predict_one_by_one(lambda x: MAML.predict(network, state["meta"], adapted, x), episode)
    for i, x in enumerate(episode.query_x):
        batch = torch.cat([episode.support_x, x[None]])
        module = Smooth(3).double()
        torch.testing.assert_close(logits[i], functional_call(module, adapted, (batch,))[-1])


def test_learned_rates_start_in_their_range() -> None:
    _, state = start(dataclasses.replace(MAML, inner_lr=None, rate_low=0.1, rate_high=0.3))
    rates = torch.cat([r.flatten() for r in state["meta"]["rates"].values()])
    assert 0.1 <= rates.min() < 0.15 < 0.25 < rates.max() <= 0.3
    assert list(state["meta"]["rates"]) == list(state["meta"]["params"])


@pytest.mark.parametrize("plastic", ["all", "head"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_fine_tuning_is_ordinary_training_from_a_head_of_zeros(plastic: str, optimizer: str) -> None:
    inner = {"inner_optimizer": optimizer, "inner_lr": 0.1, "eval_inner_steps": 4, "plastic": plastic}
    algorithm = FineTune(**COMMON, **inner)  # type: ignore[arg-type]
    episode, (network, state) = toy_episode(), start(algorithm)
    module = Smooth(3).double()
    module.load_state_dict(state["meta"]["params"])
    with torch.no_grad():
        module.head.weight.zero_(), module.head.bias.zero_()
    moving = list(module.head.parameters() if plastic == "head" else module.parameters())
    torch_optimizer = torch.optim.Adam(moving, lr=0.1) if optimizer == "adam" else torch.optim.SGD(moving, lr=0.1)
    steps = list(algorithm.learn_by_step(network, state["meta"], state["carry"], episode))
    for step in range(5):
        for name, value in module.state_dict().items():
            torch.testing.assert_close(steps[step][name], value)
        torch_optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(episode.support_x), episode.support_y).backward()
        torch_optimizer.step()
    learned = algorithm.learn(network, state["meta"], state["carry"], episode)
    assert all(torch.allclose(learned[name], steps[4][name]) for name in learned)
    update = algorithm.episode_update(network, state["meta"], {}, episode)
    assert not any(value.any() for value in update.direction["params"].values())


@pytest.mark.parametrize("shots", [1, 12])
def test_r2d2_solves_least_squares_with_a_ridge(shots: int) -> None:
    """As ordinary least squares with one further row a feature; fewer examples than features, and more."""
    algorithm, episode = FINITE_DIFFERENCES["r2d2"], toy_episode(shots=shots)
    network, state = start(algorithm)
    fast = algorithm.learn(network, state["meta"], {}, episode)
    x, query = (network(state["meta"]["params"], part).flatten(1) for part in (episode.support_x, episode.query_x))
    ridge = (0.5 * x.square().sum(1).mean()).sqrt() * torch.eye(x.shape[1], dtype=x.dtype)
    targets = torch.nn.functional.one_hot(episode.support_y, 3).to(x.dtype)
    rows, right = torch.cat([x, ridge]), torch.cat([targets, torch.zeros(x.shape[1], 3, dtype=x.dtype)])
    expected = torch.linalg.lstsq(rows, right).solution
    torch.testing.assert_close(fast, expected)
    torch.testing.assert_close(algorithm.predict(network, state["meta"], fast, episode.query_x), 2.0 * query @ expected)

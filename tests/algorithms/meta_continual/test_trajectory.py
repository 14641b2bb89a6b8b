"""Learners of protocol `meta_continual` against plain autograd written out, finite differences and formulas by hand."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import StudentT
from torch.nn.functional import cross_entropy, mse_loss
from torch.utils._pytree import tree_map

from metacl_run.algorithms.meta_continual.gemcl import GeMCL
from metacl_run.algorithms.meta_continual.oml import Oml
from metacl_run.algorithms.meta_continual.oml_reptile import OmlReptile
from metacl_run.algorithms.meta_continual.pretrain import Pretrain
from metacl_run.algorithms.meta_continual.protonet_cl import Prototypes
from metacl_run.config.components import fill
from metacl_run.core.errors import ConfigError
from metacl_run.core.types import Trajectory
from metacl_run.inner import implicit_head
from metacl_run.inner.engine import Engine
from metacl_run.models.anml import Anml
from metacl_run.models.mlp import Mlp
from metacl_run.models.network import Network, initial_params
from metacl_run.models.oml_network import OmlNetwork
from metacl_run.models.split_network import SplitNetwork
from metacl_run.scoring.objectives import REGRESSION

DOUBLE = torch.float64
OUTPUTS = 6
COMMON: dict[str, Any] = {
    **{"meta_batch_size": 1, "outer_lr": 0.1, "outer_optimizer": "sgd", "outer_momentum": 0.0, "outer_schedule": "constant"},
    **{"clip_norm": None, "clip_value": None, "classes": 2, "class_steps": 2, "step_examples": 1, "query_examples": 1},
    **{"remember": 2, "halves": False},
}
SGD: dict[str, Any] = {
    **COMMON,
    "inner_lr": 0.2,
    "test_head": "sgd",
    "test_ridge": 0.01,
    "test_plastic": ["head"],
    "redraw": False,
}
OML: dict[str, Any] = {**SGD, "plastic": ["head"], "first_order": False, "online": True, "inner_steps": None}


def network(kind: str) -> tuple[Network, dict[str, Tensor]]:
    model, size = {
        "linear": (OmlNetwork(channels=3, strides=[2, 1], hidden=[]), 9),
        "deep": (OmlNetwork(channels=3, strides=[2, 1], hidden=[5]), 9),
        "anml": (Anml(channels=3, gate_channels=2), 24),
    }[kind]
    module, params = initial_params(model, (1, size, size), OUTPUTS, 0, DOUBLE)
    draw = torch.Generator().manual_seed(9)  # offsets are drawn as 0, where ReLU has a kink
    for value in params.values():
        value += 0.05 * torch.randn(value.shape, generator=draw, dtype=DOUBLE)
    return Network(module, OUTPUTS), params


def problem(kind: str, *, steps: int = 4, batch: int = 1, queries: int = 5, seed: int = 1) -> Trajectory:
    draw = torch.Generator().manual_seed(seed)
    size, width = {"linear": (9, 12), "deep": (9, 5), "anml": (24, 12)}[kind]

    def images(*shape: int) -> Tensor:
        return torch.rand(*shape, 1, size, size, generator=draw, dtype=DOUBLE)

    y = torch.tensor([1, 4]).repeat_interleave(steps // 2)[:, None].expand(steps, batch)
    return Trajectory(
        images(steps, batch),
        y,
        images(queries),
        torch.randint(OUTPUTS, (queries,), generator=draw),
        torch.tensor([1, 4]),
        torch.randn(2, width, generator=draw, dtype=DOUBLE),
    )


def by_hand(
    net: Network,
    params: dict[str, Tensor],
    episode: Trajectory,
    plastic: list[str],
    rate: float,
    *,
    first_order: bool,
    steps: Any,
) -> Tensor:
    """The outer loss by torch.autograd alone, nothing cut, nothing cached; `params` require grad."""
    fast = dict(params)
    names = [name for name in fast if name.split(".")[0] in plastic]
    for x, y in steps:
        loss = cross_entropy(net(fast, x), y)
        gradients = torch.autograd.grad(loss, [fast[name] for name in names], create_graph=not first_order)
        fast |= {name: fast[name] - rate * g for name, g in zip(names, gradients, strict=True)}
    return cross_entropy(net(fast, episode.query_x), episode.query_y)


@pytest.mark.parametrize("first_order", [False, True], ids=["second_order", "first_order"])
@pytest.mark.parametrize(
    ("kind", "plastic"), [("linear", ["head"]), ("deep", ["head"]), ("anml", ["body", "head"]), ("anml", ["head"])]
)
def test_the_meta_gradient_equals_plain_autograd(kind: str, plastic: list[str], first_order: bool) -> None:
    (net, params), episode = network(kind), problem(kind)
    learner = Oml(**{**OML, "plastic": plastic, "first_order": first_order})
    found = learner.episode_update(net, {"params": params}, {}, episode)
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
    steps = list(zip(episode.x, episode.y, strict=True))
    loss = by_hand(net, leaves, episode, plastic, 0.2, first_order=first_order, steps=steps)
    expected = torch.autograd.grad(loss, list(leaves.values()))
    torch.testing.assert_close(found.metrics["loss"], loss.detach(), rtol=1e-12, atol=1e-12)
    for name, gradient in zip(leaves, expected, strict=True):
        torch.testing.assert_close(found.direction["params"][name], gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("kind", "plastic"), [("linear", ["head"]), ("deep", ["head"]), ("anml", ["body", "head"])])
def test_the_meta_gradient_equals_finite_differences(kind: str, plastic: list[str]) -> None:
    (net, params), episode = network(kind), problem(kind)
    learner = Oml(**{**OML, "plastic": plastic, "redraw": True})

    def loss(params: dict[str, Tensor]) -> Tensor:
        return learner.episode_update(net, {"params": params}, {}, episode).metrics["loss"]

    gradient = learner.episode_update(net, {"params": params}, {}, episode).direction["params"]
    draw = torch.Generator().manual_seed(2)
    for _ in range(3):
        way = {name: torch.randn(value.shape, generator=draw, dtype=DOUBLE) for name, value in params.items()}
        step = 1e-6
        ahead, behind = (loss({name: params[name] + sign * step * way[name] for name in params}) for sign in (1, -1))
        expected = sum((gradient[name] * way[name]).sum() for name in params)
        torch.testing.assert_close((ahead - behind) / (2 * step), expected, rtol=1e-5, atol=1e-8)


def test_maml_rep_takes_its_steps_on_the_whole_trajectory() -> None:
    (net, params), episode = network("linear"), problem("linear")
    learner = Oml(**{**OML, "online": False, "inner_steps": 3})
    found = learner.episode_update(net, {"params": params}, {}, episode)
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
    steps = [(episode.x.flatten(0, 1), episode.y.flatten())] * 3
    loss = by_hand(net, leaves, episode, ["head"], 0.2, first_order=False, steps=steps)
    for name, gradient in zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True):
        torch.testing.assert_close(found.direction["params"][name], gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "learner", [Oml(**{**OML, "redraw": True}), OmlReptile(**{**SGD, "redraw": True})], ids=["oml", "reptile"]
)
def test_rows_of_the_classes_start_afresh_and_are_then_learned(learner: Any) -> None:
    net, params = network("linear")
    several = [problem("linear"), problem("linear", seed=7)._replace(classes=torch.tensor([4, 2]))]
    both = tree_map(lambda *leaves: torch.stack(leaves), *several)
    state = learner.start(net, params)
    after, metrics = learner.meta_update(net, Engine(kind="vmap"), 10, state, both)
    new = {**params, "head.weight": params["head.weight"].clone()}
    for one in several:  # of a class in both, the later weights
        new["head.weight"][one.classes] = one.fresh * math.sqrt(2 / 12)
    plain = dataclasses.replace(learner, redraw=False)
    expected, same = plain.meta_update(net, Engine(kind="loop"), 10, plain.start(net, new), both)
    torch.testing.assert_close(metrics["loss"], same["loss"], rtol=1e-12, atol=1e-12)
    for name, value in expected["meta"]["params"].items():
        torch.testing.assert_close(after["meta"]["params"][name], value, rtol=1e-11, atol=1e-12)
    moved = after["meta"]["params"]["head.weight"] - new["head.weight"]
    assert (moved != 0).any(1).all()


@pytest.mark.parametrize(("kind", "plastic"), [("linear", ["head"]), ("deep", ["head"]), ("anml", ["body", "head"])])
@pytest.mark.parametrize("batch", [1, 3])
def test_learning_a_sequence_equals_torch_optim(kind: str, plastic: list[str], batch: int) -> None:
    (net, params), episode = network(kind), problem(kind, steps=6, batch=batch)
    split = SplitNetwork(net, params, plastic)
    given = tree_map(lambda leaf: leaf.unflatten(0, (6, batch)), split.frozen(params, episode.x.flatten(0, 1)))
    found = implicit_head.learn(split, params, given, episode.y, rate=torch.tensor(0.3, dtype=DOUBLE))
    module = copy.deepcopy(net.module).double()
    module.load_state_dict(params)
    moving = [value for name, value in module.named_parameters() if name.split(".")[0] in plastic]
    optimizer = torch.optim.SGD(moving, lr=0.3)
    for x, y in zip(episode.x, episode.y, strict=True):
        optimizer.zero_grad()
        cross_entropy(module(x), y).backward()
        optimizer.step()
    assert set(found) == {name for name in params if name.split(".")[0] in plastic}
    for name, value in module.named_parameters():
        if name in found:
            torch.testing.assert_close(found[name], value.detach(), rtol=1e-9, atol=1e-12)


def test_a_linear_layer_learns_functions_too() -> None:
    module, params = initial_params(Mlp(hidden=[5], batch_norm=False, initial="torch"), (3,), 2, 0, DOUBLE)
    net = Network(module, 2, objective=REGRESSION)
    x, y = torch.randn(4, 3, 3, dtype=DOUBLE), torch.randn(4, 3, 2, dtype=DOUBLE)
    split = SplitNetwork(net, params, ["head"])
    found = implicit_head.learn(split, params, split.frozen(params, x.flatten(0, 1)).unflatten(0, (4, 3)), y, rate=0.3)
    weight, bias = (params[f"head.{name}"].clone().requires_grad_() for name in ("weight", "bias"))
    optimizer = torch.optim.SGD([weight, bias], lr=0.3)
    for features, target in zip(net.module.double().body(x), y, strict=True):  # type: ignore[operator, union-attr]
        optimizer.zero_grad()
        mse_loss(features.detach() @ weight.T + bias, target).backward()
        optimizer.step()
    torch.testing.assert_close(found["head.weight"], weight.detach(), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found["head.bias"], bias.detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "groups", "has_before"),
    [
        ("linear", ["head"], True),
        ("anml", ["head"], True),
        ("anml", ["body", "head"], True),
        ("linear", ["body", "head"], False),
    ],
)
def test_the_two_parts_of_a_cut_make_the_whole(kind: str, groups: list[str], has_before: bool) -> None:
    (net, params), x = network(kind), problem(kind).query_x
    split = SplitNetwork(net, params, groups)
    given = split.frozen(params, x)
    assert (given is x) is not has_before
    torch.testing.assert_close(split.rest(params, given), net(params, x), rtol=1e-12, atol=1e-12)


def test_reptile_moves_towards_where_sgd_ends() -> None:
    (net, params), episode = network("deep"), problem("deep")
    found = OmlReptile(**SGD).episode_update(net, {"params": params}, {}, episode).direction["params"]
    module = copy.deepcopy(net.module).double()
    module.load_state_dict(params)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.2)
    for x, y in [*zip(episode.x, episode.y, strict=True), (episode.query_x, episode.query_y)]:
        optimizer.zero_grad()
        cross_entropy(module(x), y).backward()
        optimizer.step()
    for name, value in module.named_parameters():
        torch.testing.assert_close(found[name], params[name] - value.detach(), rtol=1e-9, atol=1e-12)


def test_pretraining_is_an_ordinary_step() -> None:
    (net, params), episode = network("linear"), problem("linear")
    learner = Pretrain(**{**SGD, "class_steps": 0, "query_examples": 0})
    state = learner.start(net, params)
    batch = tree_map(lambda leaf: leaf.unsqueeze(0), episode)
    state, metrics = learner.meta_update(net, Engine(kind="vmap"), 10, state, batch)
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
    loss = cross_entropy(net(leaves, episode.query_x), episode.query_y)
    loss.backward()
    torch.testing.assert_close(metrics["loss"], loss.detach())
    for name, leaf in leaves.items():
        torch.testing.assert_close(state["meta"]["params"][name], leaf.detach() - 0.1 * leaf.grad, rtol=1e-10, atol=1e-12)


# ---------------------------------------------------------------------------------------------------------- closed form

CLOSED: dict[str, Any] = {**COMMON, "remember": 0}


def features_and_labels() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(3)
    y = np.array([0, 0, 0, 2, 2, 1, 1, 1, 1])
    return draw.normal(size=(len(y), 4)) + y[:, None], y, draw.normal(size=(5, 4))


def after(learner: Any, x: np.ndarray, y: np.ndarray, classes: int) -> Any:
    features, learner = torch.from_numpy(x), learner.sequence_learner
    fast = learner.begin(None, {}, torch.zeros(classes, 0), features)
    for one in range(len(y)):
        fast = learner.learn(None, {}, fast, features[one : one + 1], torch.from_numpy(y[one : one + 1]), None)
    return fast


def scores_of(learner: Any, meta: Any, fast: Any, queries: Tensor) -> Tensor:
    return learner.sequence_learner.predict(None, meta, fast, queries)


def test_gemcl_scores_are_student_t_densities() -> None:
    x, y, queries = features_and_labels()
    learner = GeMCL(**CLOSED, prior_a=3.0, prior_b=2.0)
    meta = {"prior": {"log_a": torch.tensor(math.log(3.0), dtype=DOUBLE), "log_b": torch.tensor(math.log(2.0), dtype=DOUBLE)}}
    scores = scores_of(learner, meta, after(learner, x, y, 4), torch.from_numpy(queries))
    for label in range(3):
        mine = x[y == label]
        n, mean = len(mine), mine.mean(0)
        a, b = 3.0 + n / 2, 2.0 + ((mine - mean) ** 2).sum(0) / 2
        density = StudentT(
            torch.tensor(2 * a, dtype=DOUBLE), torch.from_numpy(mean), torch.from_numpy(np.sqrt(b * (n + 1) / (a * n)))
        )
        expected = density.log_prob(torch.from_numpy(queries)).sum(1)
        torch.testing.assert_close(scores[:, label], expected, rtol=1e-10, atol=1e-10)
    assert (scores[:, 3] < -1e8).all()  # a class that was not seen


def test_prototypes_score_by_distance_to_the_mean_in_any_order() -> None:
    x, y, queries = features_and_labels()
    learner = Prototypes(**CLOSED, frozen=False)
    scores = scores_of(learner, {}, after(learner, x, y, 3), torch.from_numpy(queries))
    for label in range(3):
        expected = -((queries - x[y == label].mean(0)) ** 2).sum(1)
        np.testing.assert_allclose(scores[:, label].numpy(), expected, rtol=1e-10)
    again = after(learner, x[::-1].copy(), y[::-1].copy(), 3)
    torch.testing.assert_close(scores_of(learner, {}, again, torch.from_numpy(queries)), scores)


@pytest.mark.parametrize(
    "learner", [GeMCL(**CLOSED, prior_a=1.0, prior_b=0.001), Prototypes(**CLOSED, frozen=False)], ids=["gemcl", "prototypes"]
)
def test_features_far_from_zero_lose_no_digits_in_single_precision(learner: Any) -> None:
    x, y, queries = (torch.from_numpy(part) for part in features_and_labels())
    meta = {"prior": {"log_a": torch.tensor(0.0), "log_b": torch.tensor(math.log(0.001))}}
    near, far = (
        scores_of(learner, meta, after(learner, (x.float() + away).numpy(), y.numpy(), 3), queries.float() + away)
        for away in (0, 1024)  # a power of two takes few digits from the features themselves
    )
    assert far.dtype == torch.float32
    torch.testing.assert_close(far, near, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize(
    "learner", [GeMCL(**CLOSED, prior_a=5.0, prior_b=1.0), Prototypes(**CLOSED, frozen=False)], ids=["gemcl", "prototypes"]
)
def test_closed_form_meta_gradients_equal_finite_differences(learner: Any) -> None:
    model = OmlNetwork(channels=3, strides=[2, 1], hidden=[])
    module, params = initial_params(model, (1, 9, 9), None, 0, DOUBLE)
    net, episode = Network(module, OUTPUTS), problem("linear")
    episode = episode._replace(query_y=torch.tensor([1, 4, 4, 1, 1]))
    meta = learner.init(net, params)
    gradient = learner.episode_update(net, meta, {}, episode).direction

    def loss(meta: Any) -> Tensor:
        return learner.episode_update(net, meta, {}, episode).metrics["loss"]

    draw = torch.Generator().manual_seed(2)
    way = tree_map(lambda leaf: torch.randn(leaf.shape, generator=draw, dtype=DOUBLE), meta)
    ahead, behind = (loss(tree_map(lambda a, b: a + sign * 1e-6 * b, meta, way)) for sign in (1, -1))  # noqa: B023
    products: list[Tensor] = []
    tree_map(lambda a, b: products.append((a * b).sum()), gradient, way)
    torch.testing.assert_close((ahead - behind) / 2e-6, torch.stack(products).sum(), rtol=1e-5, atol=1e-8)


# ------------------------------------------------------------------------------------------------------------ bad input


def test_a_plastic_part_that_names_no_parameter() -> None:
    net, params = network("anml")
    with pytest.raises(ConfigError, match=r"algo\.plastic=\[bodi,head\]: .* no such group .* Groups: gate, body, head"):
        Oml(**{**OML, "plastic": ["bodi", "head"]}).init(net, params)
    with pytest.raises(ConfigError, match=r"algo\.test_plastic=\[\]: names no parameter. Groups: gate, body, head"):
        Oml(**{**OML, "test_plastic": []}).init(net, params)


def test_a_model_without_a_head() -> None:
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(3, OUTPUTS)

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x)

    module = Bare()
    params = {name: value.detach() for name, value in module.named_parameters()}
    with pytest.raises(ConfigError, match=r"no parameter belongs to 'head'.*Groups: body"):
        Oml(**{**OML, "plastic": ["body"]}).init(Network(module, OUTPUTS), params)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inner_steps": 2}, "inner_steps=2: must be null with online=true"),
        ({"online": False}, "inner_steps=null: must be at least 1 with online=false"),
        ({"class_steps": 0}, "class_steps=0: must be at least 1"),
        ({"query_examples": 0, "remember": 0}, "remember=0: leaves nothing for the outer loss"),
        ({"classes": 1, "remember": 0}, "classes=1: must be at least 2 with remember=0: the loss on one class alone"),
        ({"inner_lr": 0.0}, "inner_lr=0.0: must be greater than 0"),
    ],
)
def test_settings_that_cannot_be(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^algo\.{message}"):
        fill(Oml, {**OML, **change}, "algo")


def test_settings_of_the_base_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Oml(**OML).inner_lr = 1.0  # type: ignore[misc]

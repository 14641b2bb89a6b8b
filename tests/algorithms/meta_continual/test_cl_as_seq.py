"""The transformer that reads sequences, against a slow loop: one token after another, one head after another."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, elu
from torch.utils._pytree import tree_leaves

from metacl_run.algorithms.meta_continual.cl_as_seq import ClAsSeq
from metacl_run.config.components import fill
from metacl_run.core.errors import ConfigError
from metacl_run.core.types import Params, Trajectory
from metacl_run.models.mlp import Mlp
from metacl_run.models.network import Network, initial_params
from metacl_run.models.sequence_transformer import SequenceTransformer
from metacl_run.models.transformer_block import Block
from metacl_run.scoring.objectives import CLASSIFICATION, REGRESSION, Objective

DOUBLE = torch.float64
INPUTS, OUTPUTS, HALF, HEADS = 3, 6, 4, 2
SETTINGS: dict[str, Any] = {
    **{"meta_batch_size": 1, "outer_lr": 0.1, "outer_optimizer": "sgd", "outer_momentum": 0.0, "outer_schedule": "constant"},
    **{"clip_norm": None, "clip_value": None, "classes": 2, "class_steps": 3, "step_examples": 1, "query_examples": 2},
    **{"remember": 0, "halves": False, "width": 2 * HALF, "layers": 2, "heads": HEADS, "hidden": 5},
}
LONG, SHORT, LINEAR = (
    ClAsSeq(**SETTINGS, attention=attention, context=context)
    for attention, context in (("softmax", 100), ("softmax", 4), ("linear", None))
)
KINDS = pytest.mark.parametrize("learner", [LONG, SHORT, LINEAR], ids=["long", "short", "linear"])
OBJECTIVES = pytest.mark.parametrize("objective", [CLASSIFICATION, REGRESSION], ids=["classes", "functions"])


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def network(learner: ClAsSeq, objective: Objective) -> tuple[Network, Params]:
    """Away from the start, where some weights are 0."""
    model = learner.model_of(Mlp(hidden=[5], batch_norm=False, initial="torch"), objective)
    module, params = initial_params(model, (INPUTS,), OUTPUTS, 0, DOUBLE)
    moved = {name: value + 0.3 * drawn(*value.shape, seed=place) for place, (name, value) in enumerate(params.items())}
    return Network(module, OUTPUTS, objective=objective), moved


def targets(objective: Objective, count: int) -> Tensor:
    classes = torch.arange(count) % 3
    return classes if objective is CLASSIFICATION else drawn(count, OUTPUTS, seed=21)


def read(learner: ClAsSeq, net: Network, params: Params, x: Tensor, y: Tensor, fresh: Tensor, at_once: int) -> Any:
    reader, meta = learner.sequence_learner, {"params": params}
    prepared = reader.prepare(net, meta, x)
    fast = reader.begin(net, meta, fresh, prepared)
    for part in range(0, len(x), at_once):
        fast = reader.learn(net, meta, fast, prepared[part : part + at_once], y[part : part + at_once], torch.zeros(()))
    return fast


def slow_attended(learner: ClAsSeq, query: Tensor, seen: list[tuple[Tensor, Tensor]]) -> Tensor:
    """What one query [2 W] of all heads attends to, among (key, value), its own last."""
    if learner.context is not None:
        seen = seen[-learner.context - 1 :]
    parts = []
    for head in torch.arange(2 * HALF).reshape(HEADS, -1):
        if learner.attention == "softmax":
            weights = [((query[head] @ key[head]) / math.sqrt(len(head))).exp() for key, _ in seen]
        else:
            weights = [(elu(query[head]) + 1) @ (elu(key[head]) + 1) for key, _ in seen]
        parts.append(sum(w * value[head] for w, (_, value) in zip(weights, seen, strict=True)) / sum(weights))
    return torch.cat(parts)


def slow_layer(learner: ClAsSeq, block: Block, token: Tensor, before: list[tuple[Tensor, Tensor]], keep: bool) -> Tensor:
    query, key, value = block.inputs(block.first_norm(token)).chunk(3)
    seen = [*before, (key, value)]
    if keep:
        before.append((key, value))
    token = token + block.mixed(slow_attended(learner, query, seen))
    hidden = torch.nn.functional.gelu(block.wide(block.second_norm(token)), approximate="tanh")
    return token + block.narrow(hidden)


def slow_outputs(
    learner: ClAsSeq, net: Network, params: Params, x: Tensor, y: Tensor, fresh: Tensor, queries: Tensor
) -> Tensor:
    module = net.module.double()
    assert isinstance(module, SequenceTransformer)
    module.load_state_dict(params)
    caches: list[list[tuple[Tensor, Tensor]]] = [[] for _ in module.blocks]
    answers = []
    for place, one in enumerate([*x, *queries]):
        vector = module.body(one[None])[0]
        if place < len(x):
            target = fresh[y[place]] if net.objective is CLASSIFICATION else y[place]
            token = torch.cat([vector, module.targets(target)])
        else:
            token = torch.cat([vector, torch.zeros(HALF, dtype=DOUBLE)])
        for block, cache in zip(module.blocks, caches, strict=True):
            token = slow_layer(learner, block, token, cache, keep=place < len(x))
        if place >= len(x):
            answers.append(module.answer(module.norm(token)))
    outputs = torch.stack(answers)
    return outputs if net.objective is REGRESSION else outputs @ fresh.T / math.sqrt(HALF)


@KINDS
@OBJECTIVES
@pytest.mark.parametrize("at_once", [1, 3, 7])
def test_reading_in_parts_equals_the_slow_loop(learner: ClAsSeq, objective: Objective, at_once: int) -> None:
    net, params = network(learner, objective)
    x, y, queries = drawn(7, INPUTS, seed=22), targets(objective, 7), drawn(4, INPUTS, seed=23)
    fresh = drawn(OUTPUTS, HALF, seed=24)
    reader, meta = learner.sequence_learner, {"params": params}
    with torch.no_grad():
        fast = read(learner, net, params, x, y, fresh, at_once)
        outputs = reader.predict(net, meta, fast, reader.prepare(net, meta, queries))
        expected = slow_outputs(learner, net, params, x, y, fresh, queries)
    if objective is CLASSIFICATION:  # three of the classes have examples
        assert (outputs[:, 3:] < -1e8).all()
        outputs, expected = outputs[:, :3], expected[:, :3]
    torch.testing.assert_close(outputs, expected, rtol=1e-10, atol=1e-10)


@KINDS
def test_training_is_one_pass_over_the_same(learner: ClAsSeq) -> None:
    net, params = network(learner, CLASSIFICATION)
    x, y, queries = drawn(6, INPUTS, seed=22), torch.tensor([4, 4, 4, 1, 1, 1]), drawn(4, INPUTS, seed=23)
    fresh, query_y = drawn(2, HALF, seed=24), torch.tensor([4, 4, 1, 1])
    episode = Trajectory(x.unsqueeze(1), y.unsqueeze(1), queries, query_y, torch.tensor([4, 1]), fresh)
    update = learner.episode_update(net, {"params": params}, {}, episode)
    outputs = slow_outputs(learner, net, params, x, (y == 1).long(), fresh, queries)
    expected = cross_entropy(outputs, (query_y == 1).long())
    torch.testing.assert_close(update.metrics["loss"], expected, rtol=1e-10, atol=1e-10)
    expected.backward()
    for name, parameter in net.module.named_parameters():
        torch.testing.assert_close(update.direction["params"][name], parameter.grad, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("learner", [SHORT, LINEAR], ids=["softmax", "linear"])
def test_the_state_does_not_grow(learner: ClAsSeq) -> None:
    net, params = network(learner, CLASSIFICATION)
    fresh = drawn(OUTPUTS, HALF)
    few, many = (read(learner, net, params, drawn(n, INPUTS), targets(CLASSIFICATION, n), fresh, n) for n in (2, 30))
    assert [leaf.shape for leaf in tree_leaves(few)] == [leaf.shape for leaf in tree_leaves(many)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"context": None}, "context=null: must be at least 1"),
        ({"attention": "linear"}, "context=100: must be null with attention=linear"),
        ({"heads": 3}, "heads=3: must divide algo.width=8"),
        ({"width": 7, "heads": 1}, "width=7: must be even"),
        ({"remember": 1}, "remember=1: must be 0"),
    ],
)
def test_settings_that_cannot_be(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^algo\.{message}"):
        fill(ClAsSeq, {**SETTINGS, "attention": "softmax", "context": 100, **change}, "algo")

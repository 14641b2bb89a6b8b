"""`algo.test_head`: every head against its formula in NumPy, on the examples of a whole run; what it needs and refuses."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_leaves, tree_map

import metacl_run as mr
from metacl_run.config.load import Experiment
from metacl_run.core.errors import ConfigError
from metacl_run.core.randomness import Purpose, generator
from metacl_run.experiment import run
from metacl_run.models.network import initial_params
from tests.support.runs import assert_same_run, stop_after
from tests.support.settings import FUNCTIONS, SEQUENCE_LEARNERS, SMALL_SEQUENCES


@pytest.fixture(autouse=True)
def _nothing_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metacl_run.reporting.figures.draw", lambda _: [])
    monkeypatch.setattr("metacl_run.reporting.report.write", lambda _: None)


@pytest.fixture
def sequences(experiment: Callable[..., Experiment]) -> Callable[..., Experiment]:
    def build(algo: str, *overrides: str) -> Experiment:
        more = [*SEQUENCE_LEARNERS[algo], "gpu.precision=float64", *overrides]
        return experiment(f"algo={algo}", *more, tiny=SMALL_SEQUENCES)

    return build


def meta_test(built: Experiment) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((built.directory / "summary.json").read_text())["meta_test"]
    return content


def learner_of(built: Experiment) -> Any:
    return torch.load(built.directory / "checkpoint.pt", weights_only=True)["content"]["learner"]


def features_of(built: Experiment, order: int, concepts: int) -> np.ndarray:
    """[concepts, examples, D] what goes into the head, of the concepts that an order of meta-test learns."""
    outputs = built.protocol.count_outputs(built.data)
    module, _ = initial_params(built.model, built.data.input_shape, built.algo.num_outputs(outputs), 0, torch.float64)
    module.double().load_state_dict(tree_map(lambda leaf: leaf[0], learner_of(built)["meta"]["params"]))
    module.head = torch.nn.Identity()
    numbers = generator(Purpose.SEQUENCE, 0, 1, order).permutation(built.data.count_concepts("meta_test"))[:concepts]
    pool, examples = built.data.load([0]), sum(built.data.count_examples())
    with torch.no_grad():
        rows = [
            module(
                pool.gather("meta_test", np.full(examples, number), np.arange(examples), np.full(examples, place))[0].double()
            )
            for place, number in enumerate(numbers)
        ]
    return np.stack([row.flatten(1).numpy() for row in rows])


def nearest_mean(learned: np.ndarray, x: np.ndarray) -> np.ndarray:
    """[N, C] scores, from [C, K, D] examples."""
    return np.array([[-((row - own.mean(0)) ** 2).sum() for own in learned] for row in x])


def normal(learned: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Feature by feature: the density of Student's t, with the prior from all classes."""
    classes, number, width = learned.shape
    variance = ((learned - learned.mean(1, keepdims=True)) ** 2).sum((0, 1)) / (classes * (number - 1))
    variance = variance + 1e-3 * variance.mean() + 1e-12
    scores = np.zeros((len(x), classes))
    for c, own in enumerate(learned):
        for d in range(width):
            a, b = 10 + number / 2, 10 * variance[d] + ((own[:, d] - own[:, d].mean()) ** 2).sum() / 2
            nu, scale = 2 * a, b * (number + 1) / (a * number)
            constant = math.lgamma((nu + 1) / 2) - math.lgamma(nu / 2) - math.log(nu * math.pi * scale) / 2
            scores[:, c] += constant - (nu + 1) / 2 * np.log1p((x[:, d] - own[:, d].mean()) ** 2 / (nu * scale))
    return scores


def ridge(learned: np.ndarray, x: np.ndarray) -> np.ndarray:
    """As least squares with one further row a weight."""
    classes, number, _ = learned.shape
    rows = np.concatenate([learned.reshape(classes * number, -1), np.ones((classes * number, 1))], 1)
    strength = 0.01 * (rows**2).sum() / rows.shape[1]
    further = np.sqrt(strength) * np.eye(rows.shape[1])
    targets = np.concatenate([np.repeat(np.eye(classes), number, 0), np.zeros((rows.shape[1], classes))])
    weights, *_ = np.linalg.lstsq(np.concatenate([rows, further]), targets, rcond=None)
    return np.c_[x, np.ones(len(x))] @ weights


@pytest.mark.parametrize(("head", "scores"), [("ncm", nearest_mean), ("gemcl", normal), ("ridge", ridge)])
@pytest.mark.parametrize("algo", ["oml", "anml"])
def test_meta_test_equals_the_formula(
    algo: str, head: str, scores: Callable[..., np.ndarray], sequences: Callable[..., Experiment]
) -> None:
    built = sequences(algo, f"algo.test_head={head}", *(["algo.class_steps=3", "algo.remember=12"] if algo == "anml" else []))
    assert run(built) == 0
    content = meta_test(built)
    assert content["rates"] is None
    for place, length in enumerate((2, 5)):
        for order in range(3):
            features = features_of(built, order, length)
            held_out = [scores(features[:, :4], own[4:]).argmax(1) == c for c, own in enumerate(features)]
            assert content["accuracy"][0][place][order] == pytest.approx(np.mean(held_out))
            memory = [scores(features[:, :4], own[:4]).argmax(1) == c for c, own in enumerate(features)]
            assert content["memory"][0][place][order] == pytest.approx(np.mean(memory))


@pytest.mark.parametrize("algo", ["oml", "oml_reptile", "pretrain", "scratch", "maml_rep"])
def test_the_head_of_meta_test_changes_nothing_of_meta_training(algo: str, sequences: Callable[..., Experiment]) -> None:
    """So that an evaluation of a run with another head is the run with that head."""
    plain, other = sequences(algo), sequences(algo, "algo.test_head=ridge", "algo.test_ridge=0.1")
    assert run(plain) == run(other) == 0
    for mine, expected in zip(tree_leaves(learner_of(other)), tree_leaves(learner_of(plain)), strict=True):
        assert torch.equal(mine, expected)
    again = mr.evaluate(plain.directory, ["algo.test_head=ridge", "algo.test_ridge=0.1"])
    assert again.summary["meta_test"] == meta_test(other)


@pytest.mark.parametrize("head", ["ncm", "gemcl", "ridge"])
def test_the_engines_give_the_same_answer(head: str, sequences: Callable[..., Experiment]) -> None:
    contents = []
    for engine in ("loop", "vmap"):
        built = sequences("scratch", f"algo.test_head={head}", "seeds=[0,1]", f"gpu.engine={engine}")
        assert run(built) == 0
        contents.append(meta_test(built))
    assert contents[0] == contents[1]


def test_functions_by_ridge(experiment: Callable[..., Experiment]) -> None:
    own = "algo.remember=0", "algo.redraw=false", "algo.test_head=ridge"
    built = experiment("algo=oml", *own, tiny=FUNCTIONS)
    assert run(built) == 0
    pool = built.data.load([0])
    for order in range(2):
        features = features_of(built, order, 4)
        concepts = generator(Purpose.SEQUENCE, 0, 1, order).permutation(8)[:4]
        targets = np.stack(
            [pool.gather("meta_test", np.full(13, n), np.arange(13), np.full(13, p))[1].numpy() for p, n in enumerate(concepts)]
        )
        rows = np.concatenate([features, np.ones((*features.shape[:2], 1))], 2)
        learned, y = rows[:, :8].reshape(32, -1), targets[:, :8].reshape(32, -1)
        strength = 0.01 * (learned**2).sum() / learned.shape[1] * np.eye(learned.shape[1])
        weights = np.linalg.inv(learned.T @ learned + strength) @ learned.T @ y
        errors = ((rows[:, 8:] @ weights - targets[:, 8:]) ** 2).mean((1, 2))
        np.testing.assert_allclose(meta_test(built)["mse"][0][1][order], errors.mean(), rtol=1e-6)


def test_stopped_it_ends_as_the_unbroken_run(sequences: Callable[..., Experiment]) -> None:
    base = sequences("oml").output_dir
    common = "algo.test_head=gemcl", "seeds=[0,1]"
    unbroken, broken = (sequences("oml", *common, f"output_dir={base / name}") for name in ("unbroken", "broken"))
    assert run(unbroken) == 0
    for units in (2, 5):
        stop_after(broken, units)
    assert run(broken) == 0
    assert_same_run(unbroken.directory, broken.directory)


def test_a_learner_predicts_with_its_head(sequences: Callable[..., Experiment]) -> None:
    """Labels of three classes, learned one after another; a class that never came is not predicted."""
    built = sequences("oml", "algo.test_head=ridge")
    assert run(built) == 0
    learner, shape = mr.load(built.directory).learner(), built.data.input_shape
    x = torch.rand(6, *shape, generator=torch.Generator().manual_seed(0))
    for place, label in enumerate("aabbcc"):
        learner = learner.adapt(x[place : place + 1], [label])
    assert set(learner.predict(torch.rand(20, *shape))) <= set("abc")


@pytest.mark.parametrize("head", ["ncm", "gemcl"])
def test_functions_have_no_classes(head: str, experiment: Callable[..., Experiment]) -> None:
    own = "algo.remember=0", "algo.redraw=false", f"algo.test_head={head}"
    with pytest.raises(ConfigError, match=rf"test_head={head} learns classes, but the data are functions"):
        experiment("algo=oml", *own, tiny=FUNCTIONS)

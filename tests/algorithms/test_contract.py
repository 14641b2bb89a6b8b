"""The contract of every algorithm, whatever it learns. Read this first, before adding one.

An algorithm is one Python file under `metacl_run/algorithms/`, which implements `EpisodeLearner`, `TrajectoryLearner` or
`StreamLearner`, and one YAML file in `configs/algo/`. The tests below find it by its YAML file; nothing here need be edited.
They take the algorithm as `metacl-run algo=<name>` composes it, on tiny random data (tests/support/learners.py). That it
follows its paper is for a test of its own, against an independent answer.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils._pytree import tree_leaves, tree_map

from metacl_run.core.types import Pytree
from metacl_run.inner import adapt, flat
from tests.support.learners import ALGORITHMS, ENGINE, WAYS, TinyLearner, tiny_learner

pytestmark = pytest.mark.parametrize("name", ALGORITHMS)


@pytest.fixture
def learner(name: str) -> TinyLearner:
    """Composed, built and checked from the YAML file alone."""
    return tiny_learner(name)


def assert_equal(a: Pytree, b: Pytree, tolerance: float = 0.0) -> None:
    """Raises AssertionError unless both have the same structure, shapes, types and, to the tolerance, numbers."""
    tree_map(lambda x, y: torch.testing.assert_close(x, y, rtol=tolerance, atol=tolerance), a, b)


def test_a_step_returns_finite_metrics_and_a_state_of_the_same_form(learner: TinyLearner) -> None:
    state, batch = learner.start(seed=0), learner.batch(seed=1)
    updated, metrics = learner.update(state, batch)
    assert "loss" in metrics
    assert all(value.shape == () and value.isfinite() for value in metrics.values())
    for after in (updated, learner.end_task(updated, batch)):
        assert_equal(tree_map(torch.zeros_like, after), tree_map(torch.zeros_like, state))  # keys, shapes, types
        assert all(leaf.isfinite().all() for leaf in tree_leaves(after))


def test_a_step_changes_the_state_it_returns_and_not_the_one_it_received(learner: TinyLearner) -> None:
    state, untouched = learner.start(seed=0), learner.start(seed=0)
    after, _ = learner.step(state, learner.batch(seed=1))
    assert_equal(state, untouched)
    assert any((a != b).any() for a, b in zip(tree_leaves(after), tree_leaves(state), strict=True))


def test_it_predicts_after_learning(learner: TinyLearner) -> None:
    batch = learner.batch(seed=1)
    state, _ = learner.step(learner.start(seed=0), batch)
    outputs = learner.predict(state, batch)
    assert outputs.shape[1:] == (WAYS,)
    assert outputs.isfinite().all()


def test_equal_seeds_give_equal_numbers(learner: TinyLearner) -> None:
    first, second = (learner.step(learner.start(seed=0), learner.batch(seed=1)) for _ in range(2))
    assert_equal(first, second)


def test_a_checkpoint_goes_on_as_the_state_would_have(learner: TinyLearner, tmp_path: Path) -> None:
    state, _ = learner.step(learner.start(seed=0), learner.batch(seed=1))
    torch.save(state, tmp_path / "checkpoint.pt")
    loaded = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert_equal(learner.step(loaded, learner.batch(seed=2)), learner.step(state, learner.batch(seed=2)))


def test_replicates_side_by_side_equal_each_seed_alone(learner: TinyLearner) -> None:
    seeds = (3, 4)
    states, batches = [learner.start(seed) for seed in seeds], [learner.batch(seed) for seed in seeds]
    stacked = [tree_map(lambda *leaves: torch.stack(leaves), *parts) for parts in (states, batches)]
    together = ENGINE.over_replicates(learner.step)(*stacked)
    for replicate, (state, batch) in enumerate(zip(states, batches, strict=True)):
        alone = learner.step(state, batch)
        assert_equal(tree_map(lambda leaf: leaf[replicate], together), alone, tolerance=1e-9)  # noqa: B023


def test_parameters_as_one_tensor_equal_parameters_one_by_one(learner: TinyLearner, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, where few launches count."""
    state, batch = learner.start(seed=0), learner.batch(seed=1)
    one_by_one = learner.step(state, batch)
    for module in (flat, adapt):
        monkeypatch.setattr(module, "belongs_side_by_side", lambda _: True)
    assert_equal(learner.step(state, batch), one_by_one, tolerance=1e-9)

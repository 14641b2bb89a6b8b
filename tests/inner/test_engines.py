"""Engines and axes: every engine equals the loop, a replicate equals its single run, chunks change nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.utils._pytree import tree_leaves, tree_map

from metacl_run.algorithms.continual_meta.episode_learner import EpisodeLearner
from metacl_run.config.load import Experiment
from metacl_run.core.types import Episode
from metacl_run.inner.engine import Engine
from metacl_run.inner.forecast import chunk_for, peak_bytes
from metacl_run.models.network import Network, initial_params
from tests.support.episodes import toy_episode

CPU = torch.device("cpu")
ALGORITHMS = ["maml", "fomaml", "anil", "meta_sgd", "reptile", "protonet", "ftml"]


def prepare(experiment: Experiment, seed: int = 0) -> tuple[Network, dict]:
    algo, outputs = experiment.algo, experiment.algo.num_outputs(3)
    module, params = initial_params(experiment.model, (1, 28, 28), outputs, seed, torch.float64)
    network = Network(module, 3)
    rates = torch.rand(sum(p.numel() for p in params.values()), generator=torch.Generator().manual_seed(seed))
    return network, algo.start(network, params, rates)


def updates(algo: EpisodeLearner, network: Network, engine: Engine, state: dict, episodes: Episode, count: int = 2) -> dict:
    for _ in range(count):
        state, _ = algo.meta_update(network, engine, 10, state, episodes)
    return state


def assert_equal(a: object, b: object, tolerance: float = 1e-9) -> None:
    for left, right in zip(tree_leaves(a), tree_leaves(b), strict=True):
        torch.testing.assert_close(left, right, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_vmap_in_any_chunks_equals_the_loop(name: str, experiment: Callable[..., Experiment]) -> None:
    algo = experiment(f"algo={name}")
    network, state = prepare(algo)
    episodes = toy_episode(episodes=3, size=28)
    reference = updates(algo.algo, network, Engine(kind="loop"), state, episodes)
    for chunk in (None, 1, 2):
        assert_equal(updates(algo.algo, network, Engine(kind="vmap", chunk=chunk), state, episodes), reference)


@pytest.mark.parametrize("model", ["conv4", "mlp", "resnet12"])
def test_every_model_has_the_same_meta_gradient_mapped_and_looped(model: str, experiment: Callable[..., Experiment]) -> None:
    small = {"conv4": "model.down=maxpool", "mlp": "model.hidden=[8,8]", "resnet12": "model.channels=[3,4]"}[model]
    tiny = ["data.ways=3", "algo.inner_steps=2", "gpu.threads=1"]
    built = experiment(f"model={model}", small, *(["model.channels=4"] if model == "conv4" else []), tiny=tiny)
    network, state = prepare(built)
    episodes = toy_episode(episodes=2, size=28)
    reference = updates(built.algo, network, Engine(kind="loop"), state, episodes, count=1)
    assert_equal(updates(built.algo, network, Engine(kind="vmap"), state, episodes, count=1), reference)


def test_replicates_of_a_network_with_batch_norm_equal_single_runs(experiment: Callable[..., Experiment]) -> None:
    algo = experiment().algo
    network, _ = prepare(experiment())
    engine = Engine(kind="vmap", chunk=2)
    states = [prepare(experiment(), seed)[1] for seed in range(3)]
    episodes = [toy_episode(episodes=3, size=28, seed=seed) for seed in range(3)]
    step = engine.over_replicates(lambda s, e: algo.meta_update(network, engine, 10, s, e))
    together, _ = step(
        tree_map(lambda *leaves: torch.stack(leaves), *states), tree_map(lambda *leaves: torch.stack(leaves), *episodes)
    )
    for i, (state, episode) in enumerate(zip(states, episodes, strict=True)):
        alone = updates(algo, network, engine, state, episode, count=1)
        assert_equal(tree_map(lambda leaf: leaf[i], together), alone)  # noqa: B023


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_equals_the_loop(experiment: Callable[..., Experiment]) -> None:
    algo = experiment().algo
    network, state = prepare(experiment())
    episodes = toy_episode(episodes=2, size=28)
    engine = Engine(kind="compile")
    step = engine.prepare(lambda s, e: algo.meta_update(network, engine, 10, s, e))
    compiled, _ = step(state, episodes)
    assert_equal(compiled, updates(algo, network, Engine(kind="loop"), state, episodes, count=1))


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["vmap", "compile", "cuda_graph"])
def test_cuda_engines_equal_the_loop_on_the_cpu(kind: str, experiment: Callable[..., Experiment]) -> None:
    algo = experiment().algo
    network, state = prepare(experiment())
    episodes = toy_episode(episodes=3, size=28)
    reference = updates(algo, network, Engine(kind="loop"), state, episodes)
    on_card = tree_map(lambda leaf: leaf.cuda(), (state, episodes))
    module, _ = initial_params(experiment().model, (1, 28, 28), 3, 0, torch.float64)
    network = Network(module.cuda(), 3)
    engine = Engine(kind=kind)  # type: ignore[arg-type]
    step = engine.prepare(lambda s, e: algo.meta_update(network, engine, 10, s, e))
    moved, batch = on_card
    for _ in range(2):
        moved, _ = step(moved, batch)
    assert_equal(tree_map(lambda leaf: leaf.cpu(), moved), reference, 1e-7)


def test_peak_bytes_counts_what_is_alive_at_once() -> None:
    def work() -> torch.Tensor:
        a = torch.zeros(1000)  # 4000 bytes
        b = a + 1  # 8000 alive
        del a
        c = b * 2  # 8000 alive again
        del b
        return c.view(10, 100)  # a view is no new memory

    assert peak_bytes(work, CPU) == 8000


def test_chunk_is_the_largest_that_fits_and_splits_evenly() -> None:
    kept = []

    def run(episodes: int) -> None:
        kept.append(torch.empty(1000 + 500 * episodes, dtype=torch.uint8))
        kept.clear()

    def forecast(budget: int) -> tuple[int, int, int]:
        return chunk_for(run, episodes=32, budget=budget, device=CPU)

    assert forecast(10_000) == (16, 9000, 1500)  # 18 would fit; two equal parts of 16
    assert forecast(100_000) == (32, 17_000, 1500)
    assert forecast(10) == (1, 1500, 1500)


def test_forecast_of_a_real_step_holds(experiment: Callable[..., Experiment]) -> None:
    algo = experiment().algo
    network, state = prepare(experiment())
    engine = Engine(kind="vmap")

    def run(count: int) -> object:
        return updates(algo, network, engine, state, toy_episode(episodes=count, size=28), count=1)

    forecast = chunk_for(run, episodes=12, budget=10**12, device=CPU)
    assert forecast.bytes == pytest.approx(peak_bytes(lambda: run(12), CPU), rel=0.1)

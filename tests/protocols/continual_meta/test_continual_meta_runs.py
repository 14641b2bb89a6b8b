"""Whole runs of protocol `continual_meta`: learning, scores with and without batch norm."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_map

from metacl_run.config.load import Experiment
from metacl_run.core.errors import ConfigError
from metacl_run.core.randomness import Purpose, generator
from metacl_run.experiment import run
from metacl_run.models.network import Network, initial_params
from tests.support.settings import TINY


def test_meta_learning_beats_the_untrained_network_and_chance(experiment: Callable[..., Experiment]) -> None:
    overrides = ["algo=protonet", "data.num_tasks=1", "data.num_classes=80", "model.channels=16", "data.shift=none"]
    built = experiment(*overrides, "protocol.updates_per_task=60", "protocol.eval_episodes=60", "protocol.eval_every=0")
    run(built)
    matrix = np.load(built.directory / "accuracy_matrix.npy")[0]
    assert matrix[1, 0] > matrix[0, 0] + 0.05
    assert matrix[1, 0] > 1 / 3 + 0.2


@pytest.mark.parametrize("algo", ["maml", "reptile", "protonet"])
@pytest.mark.parametrize("engine", ["loop", "vmap"])
def test_a_run_with_batch_norm_reports_each_query_alone_and_all_together(
    algo: str, engine: str, experiment: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the last parameters, one episode, one way of asking and one query after another."""
    monkeypatch.setattr("metacl_run.reporting.figures.draw", lambda _: [])
    learned = []
    monkeypatch.setattr(
        type(experiment(f"algo={algo}").algo), "learn", counted(type(experiment(f"algo={algo}").algo).learn, learned)
    )
    more = ["data.queries=2", "gpu.precision=float64", "protocol.eval_every=0", f"gpu.engine={engine}"]
    more += ["gpu.chunk=3"] if engine == "vmap" else []
    built = experiment(f"algo={algo}", *more)
    assert run(built) == 0
    summary = json.loads((built.directory / "summary.json").read_text())
    alone, together = (np.load(built.directory / f"accuracy_matrix{name}.npy")[0] for name in ("", "_transductive"))
    assert summary["metrics"]["accuracy"]["mean"] == pytest.approx(alone[-1].mean())
    assert summary["metrics"]["transductive_accuracy"]["mean"] == pytest.approx(together[-1].mean())
    names = [name for name in summary["metrics"] if not name.startswith("transductive_")]
    assert list(summary["metrics"]) == [*names, *(f"transductive_{name}" for name in names)]
    last = [json.loads(line) for line in (built.directory / "metrics.jsonl").read_text().splitlines()][-1]
    np.testing.assert_allclose([last["accuracy"][0], last["transductive_accuracy"][0]], [alone[-1], together[-1]])
    if engine == "loop":
        assert len(learned) == 3 * 2 * 4  # once an episode: 3 rows, 2 tasks, 4 episodes

    content = torch.load(built.directory / "checkpoint.pt", weights_only=True)["content"]
    state = tree_map(lambda leaf: leaf[0], content["learner"])
    outputs = built.algo.num_outputs(3)
    network = Network(initial_params(built.model, built.data.input_shape, outputs, 0, torch.float64)[0], 3)
    stream, batches = built.data.load([0]), built.algo.inner_batches(3, False)
    for task in range(2):
        drawn = stream.sample(
            np.full((1, 4), task),
            "test",
            shots=1,
            queries=2,
            rngs=[generator(Purpose.EVALUATE, 0, task, 0)],
            batches=batches,
            classes=None,
        )
        right = []
        for i in range(4):
            episode = tree_map(lambda leaf: leaf[0, i], drawn)  # noqa: B023
            episode = episode._replace(support_x=episode.support_x.double(), query_x=episode.query_x.double())
            fast = built.algo.learn(network, state["meta"], state["carry"], episode)

            def answers(x: torch.Tensor) -> torch.Tensor:
                return built.algo.predict(network, state["meta"], fast, x).argmax(-1)  # noqa: B023

            one_by_one = [answers(torch.cat([episode.support_x, x[None]]))[-1] for x in episode.query_x]
            right.append(
                [
                    (answer == episode.query_y).double().mean().item()
                    for answer in (torch.stack(one_by_one), answers(episode.query_x))
                ]
            )
        np.testing.assert_allclose(np.mean(right, 0), [alone[-1, task], together[-1, task]])


def counted(function: Callable[..., object], calls: list[None]) -> Callable[..., object]:
    def counting(*arguments: object) -> object:
        calls.append(None)
        return function(*arguments)

    return counting


def test_without_batch_norm_there_is_nothing_transductive(
    experiment: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metacl_run.reporting.figures.draw", lambda _: [])
    plain = ["model=mlp_small", "model.hidden=[8]", "protocol.updates_per_task=1"]
    built = experiment(tiny=[*(each for each in TINY if "channels" not in each), *plain])
    assert run(built) == 0
    assert "transductive" not in (built.directory / "summary.json").read_text()
    assert "transductive" not in (built.directory / "metrics.jsonl").read_text()
    assert not (built.directory / "accuracy_matrix_transductive.npy").exists()


def test_the_setting_of_version_0_1_is_refused_with_what_there_is_now(experiment: Callable[..., Experiment]) -> None:
    with pytest.raises(ConfigError) as error:
        experiment("protocol.transductive=false")
    assert str(error.value).startswith("protocol.transductive=false: there is no such setting any more.")
    assert "transductive_accuracy" in str(error.value)

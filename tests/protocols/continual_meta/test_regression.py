"""Few-shot regression, whole: meta-gradients, runs, and that mean squared error stands wherever accuracy does elsewhere."""

from __future__ import annotations

import dataclasses
import html
import io
import json
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn
from torch.func import functional_call

from metacl_run.algorithms.continual_meta.episode_learner import EpisodeLearner
from metacl_run.algorithms.continual_meta.maml import Maml
from metacl_run.config.load import Experiment
from metacl_run.config.options import options_that_are
from metacl_run.core.randomness import Purpose, generator
from metacl_run.core.types import Episode
from metacl_run.experiment import run
from metacl_run.models.network import Network, initial_params
from metacl_run.reporting import terminal
from metacl_run.reporting.figures import figures_of
from metacl_run.storage.stored_run import StoredRun
from tests.support.commands import Command, run_command
from tests.support.runs import assert_same_run, only_run, parameters, records, stop_after
from tests.support.variants import variants_are_slow

SINE = [
    "data=sinusoid",
    "data.num_tasks=3",
    "algo.meta_batch_size=3",
    "protocol.updates_per_task=6",
    "protocol.eval_episodes=5",
    "protocol.eval_every=2",
    "protocol.log_every=2",
    "gpu.threads=1",
    "figures.style=none",
]
"""Overrides of a complete run that takes about a second."""
LEARNERS = [name for name in options_that_are("algo", EpisodeLearner) if name not in ("protonet", "ncm_few_shot", "r2d2")]


@pytest.fixture
def sine(experiment: Callable[..., Experiment]) -> Callable[..., Experiment]:
    """sine("algo=reptile", ...) -> a checked tiny experiment on sine waves."""
    return lambda *overrides: experiment(*overrides, tiny=SINE)


def one_episode(built: Experiment) -> Episode:
    rngs = [np.random.default_rng(1)]
    drawn = built.data.load([0]).sample(np.zeros((1, 1), int), "train", shots=10, queries=10, rngs=rngs)
    return Episode(*(leaf[0, 0].double() if leaf.is_floating_point() else leaf[0, 0] for leaf in drawn))


def started(built: Experiment) -> tuple[Network, dict]:
    module, params = initial_params(built.model, built.data.input_shape, 1, 0, torch.float64)
    network = Network(module, 1, objective=built.data.objective)
    rates = torch.rand(sum(p.numel() for p in params.values()), generator=torch.Generator().manual_seed(0))
    return network, built.algo.start(network, params, rates)


@pytest.mark.parametrize("name", ["maml", "anil", "meta_sgd"])
def test_meta_gradient_equals_finite_differences(name: str, sine: Callable[..., Experiment]) -> None:
    built = sine(f"algo={name}", "algo.inner_steps=2", "algo.eval_inner_steps=2")
    network, state = started(built)
    episode, meta = one_episode(built), state["meta"]
    update = built.algo.episode_update(network, meta, state["carry"], episode)
    targets = episode.query_y.numpy()

    def error(meta: dict) -> float:
        fast = built.algo.learn(network, meta, {}, episode)
        return float(np.mean((built.algo.predict(network, meta, fast, episode.query_x).numpy() - targets) ** 2))

    assert set(update.metrics) == {"loss", "mse"}
    assert update.metrics["loss"].item() == update.metrics["mse"].item() == pytest.approx(error(meta))
    pick, step = torch.Generator().manual_seed(2), 1e-6
    for part, tensors in meta.items():
        for key, value in tensors.items():
            for index in torch.randint(value.numel(), (4,), generator=pick).tolist():
                sides = []
                for sign in (1, -1):
                    moved = {p: {k: v.clone() for k, v in t.items()} for p, t in meta.items()}
                    moved[part][key].view(-1)[index] += sign * step
                    sides.append(error(moved))
                expected = (sides[0] - sides[1]) / (2 * step)
                found = update.direction[part][key].reshape(-1)[index].item()
                assert found == pytest.approx(expected, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("name", variants_are_slow(LEARNERS))
def test_every_learner_but_prototypes_runs_a_stream_of_sines(name: str, sine: Callable[..., Experiment]) -> None:
    assert run(sine(f"algo={name}")) == 0


def test_maml_learns_to_learn_sines(sine: Callable[..., Experiment]) -> None:
    built = sine("data.num_tasks=1", "protocol.updates_per_task=400", "protocol.eval_every=0", "protocol.eval_episodes=100")
    run(dataclasses.replace(built, algo=dataclasses.replace(built.algo, meta_batch_size=8)))
    before, after = np.load(built.directory / "accuracy_matrix.npy")[0, :, 0]
    assert 3.0 < before < 6.0  # the variance of the functions is 4.6
    assert after < 0.5 * before


def test_what_is_measured_is_the_mean_squared_error_after_plain_sgd(sine: Callable[..., Experiment]) -> None:
    built = sine("gpu.precision=float64", "data.shots=4", "algo.train_shots=6")
    run(built)
    assert isinstance(built.algo, Maml)
    state = torch.load(built.directory / "checkpoint.pt", weights_only=True)["content"]["learner"]
    errors = []
    for task in range(3):
        rngs = [generator(Purpose.EVALUATE, 0, task, 0)]
        drawn = built.data.load([0]).sample(np.full((1, 5), task), "test", shots=4, queries=10, rngs=rngs)
        module, _ = initial_params(built.model, (1,), 1, 0, torch.float64)
        for episode in range(5):
            x, y, query_x, query_y = (leaf[0, episode].double() for leaf in drawn[:4])
            params = {name: value[0].clone().requires_grad_() for name, value in state["meta"]["params"].items()}
            optimizer = torch.optim.SGD(params.values(), lr=built.algo.inner_lr)
            for _ in range(built.algo.eval_inner_steps):
                optimizer.zero_grad()
                nn.functional.mse_loss(functional_call(module, params, (x,)), y).backward()
                optimizer.step()
            errors.append(nn.functional.mse_loss(functional_call(module, params, (query_x,)), query_y).item())
    last = np.load(built.directory / "accuracy_matrix.npy")[0, -1]
    np.testing.assert_allclose(last, np.reshape(errors, (3, 5)).mean(axis=1), rtol=1e-9)


def test_replicates_equal_single_runs_in_float64(sine: Callable[..., Experiment]) -> None:
    settings = ("gpu.precision=float64", "algo.replay=null")
    together = sine("seeds=[2,5]", *settings)
    run(together)
    for i, seed in enumerate((2, 5)):
        alone = sine(f"seeds=[{seed}]", *settings)
        run(alone)
        matrices = [np.load(built.directory / "accuracy_matrix.npy") for built in (together, alone)]
        np.testing.assert_allclose(matrices[0][i], matrices[1][0], rtol=1e-9)
        for x, y in zip(parameters(together.directory), parameters(alone.directory), strict=True):
            torch.testing.assert_close(x[i], y[0], rtol=1e-9, atol=1e-9)


def test_stopped_and_continued_it_ends_as_the_unbroken_run(sine: Callable[..., Experiment]) -> None:
    unbroken = sine("output_dir=" + str(sine().output_dir / "unbroken"))
    run(unbroken)
    built = sine("protocol.checkpoint_every=0")
    stop_after(built, 9)
    assert run(built) == 0
    assert_same_run(built.directory, unbroken.directory)


@pytest.mark.slow
def test_killed_it_ends_as_the_unbroken_run(tmp_path: Path) -> None:
    work = [*SINE, "protocol.updates_per_task=60", "protocol.checkpoint_every=0", "progress=none"]

    process = Command(*work, "output_dir=killed", cwd=tmp_path)
    while not list(tmp_path.glob("killed/*/*/*/checkpoint.pt")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list(tmp_path.rglob("summary.json"))
    for output in ("killed", "unbroken"):
        assert run_command(*work, f"output_dir={output}", cwd=tmp_path).returncode == 0
    assert_same_run(only_run(tmp_path / "killed"), only_run(tmp_path / "unbroken"))


def test_mean_squared_error_is_said_wherever_accuracy_is_elsewhere(sine: Callable[..., Experiment]) -> None:
    built = sine("insight=full", "seeds=[0,1]", "figures.style=screen")
    run(built)
    directory = built.directory
    summary = json.loads((directory / "summary.json").read_text())
    assert summary["score"] == "mse"
    assert list(summary["metrics"]) == [
        *("mse", "learning_mse", "bti", "bwt", "fwt", "forgetting", "anytime_mse", "max_mse", "worst_case_mse"),
    ]
    matrix = np.load(directory / "accuracy_matrix.npy")
    assert summary["metrics"]["mse"]["values"] == pytest.approx(matrix[:, -1].mean(1).tolist())
    lines = records(directory)
    assert {key for line in lines if line["kind"] == "eval" for key in line} == {"kind", "unit", "task", "row", "mse", "ci95"}
    assert {key for line in lines if line["kind"] == "train" for key in line["metrics"]} == {"loss", "mse"}
    assert matrix[:, 0, 2].min() > 1  # nothing is clipped to [0, 1]
    assert {path.stem for path in (directory / "figures").glob("*.svg")} == {
        figure.name for figure in figures_of(StoredRun(directory))
    }

    def about(text: str) -> str:
        """Without the names of files, which are the same for every score."""
        return re.sub(r"accuracy_matrix(\.npy)?|accuracy_by_task|mean_accuracy", "", text.lower())

    out = io.StringIO()
    terminal.show(StoredRun(directory), Console(file=out, width=120))
    page = (directory / "report.html").read_text()
    shown = html.unescape(re.sub(r"<style.*?</style>|<svg.*?</svg>", " ", page, flags=re.DOTALL))
    titles = " ".join(" ".join(figure.text) for figure in figures_of(StoredRun(directory)))
    for text in (shown, out.getvalue(), titles.replace("mean_accuracy", "")):
        assert "mean squared error" in text.lower()
        assert "accuracy" not in about(text)
        assert "chance" not in text
    assert "Mean squared error matrix" in shown


def test_a_run_that_fails_says_its_score_too(sine: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch) -> None:
    built = sine()

    def broken(*_: object) -> None:
        raise FloatingPointError("something of ours")

    monkeypatch.setattr(type(built.protocol), "run", broken)
    with pytest.raises(FloatingPointError):
        run(built)
    assert json.loads((built.directory / "summary.json").read_text())["score"] == "mse"


def test_an_inner_rate_that_diverges_still_leaves_a_report(sine: Callable[..., Experiment]) -> None:
    built = sine("algo.inner_lr=1e12", "figures.style=screen")
    assert run(built) == 3
    assert "not finite" in json.loads((built.directory / "summary.json").read_text())["error"]
    page = (built.directory / "report.html").read_text()
    assert "The run has no metrics." in page
    assert "nan" not in re.sub(r"<style.*?</style>|<svg.*?</svg>", "", page, flags=re.DOTALL)


def test_an_adaptation_that_diverges_is_said_once(sine: Callable[..., Experiment], capsys: pytest.CaptureFixture[str]) -> None:
    short = "data.num_tasks=1", "protocol.updates_per_task=1", "algo.eval_inner_steps=30"
    assert run(sine(*short, "algo.inner_lr=1", "algo.outer_lr=1e-6", "seeds=[0,3]")) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "adapting diverged" in line]
    assert len(lines) == 1
    assert re.search(r"adapting diverged in \d+ of \d+ evaluation episodes \(seeds [03, ]+\)", lines[0])
    run(sine(*short, "algo.inner_lr=0.001"))
    assert "adapting diverged" not in capsys.readouterr().err

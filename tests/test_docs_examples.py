"""The worked examples of the documentation (docs/examples) run, as options of a user's own outside the package."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import metacl_run
from metacl_run.config.compose import experiment_of
from metacl_run.config.load import Experiment
from metacl_run.experiment import run

DOCS = Path(__file__).parent.parent / "docs"
SHORT = ["data.num_tasks=2", "data.train_per_task=100", "data.test_per_task=50", "data.train_hands=30", "gpu.threads=1"]


@pytest.fixture(autouse=True)
def _examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS / "examples"))
    monkeypatch.setattr("metacl_run.finished_run.draw", lambda *_: None)
    monkeypatch.chdir(tmp_path)


def finished(*overrides: str) -> Experiment:
    """A run of the examples that has completed."""
    built = experiment_of([*overrides, "progress=none"], str(DOCS / "examples" / "options"))
    assert run(built) == 0
    return built


def matrix(built: Experiment) -> np.ndarray:
    return np.load(built.directory / "accuracy_matrix.npy")[0]


def test_every_example_is_on_the_page_and_run_here() -> None:
    names = {path.stem for path in (DOCS / "examples").rglob("*.yaml")}
    on_page = set(re.findall(r'--8<-- "(\w+)\.py"', (DOCS / "add-your-own.md").read_text(encoding="utf-8")))
    here = set(re.findall(r"=(\w+)\"", Path(__file__).read_text(encoding="utf-8")))
    assert names == on_page == {path.stem for path in (DOCS / "examples").glob("*.py")}
    assert names <= here | {"points"}  # which tests/data/test_source_of_ones_own.py runs


def test_the_algorithm_without_its_pull_is_experience_replay() -> None:
    """Up to rounding, since `er` takes its steps by a compiled kernel."""
    replay, without, pulled = (
        matrix(finished(*SHORT, *words)) for words in (["algo=er"], ["algo=er_pull", "algo.pull=0"], ["algo=er_pull"])
    )
    assert without == pytest.approx(replay, abs=0.02)
    assert pulled[-1].mean() > pulled[0].mean() + 0.1


@pytest.mark.slow
def test_the_few_shot_learner_without_its_pull_is_maml() -> None:
    small = [
        "data.num_tasks=1",
        "protocol.updates_per_task=3",
        "protocol.eval_episodes=6",
        "algo.inner_steps=3",
        "gpu.precision=float64",
        "gpu.threads=1",
    ]
    maml, without, pulled = (
        matrix(finished(*small, *words)) for words in (["algo=maml"], ["algo=maml_prox", "algo.pull=0"], ["algo=maml_prox"])
    )
    np.testing.assert_allclose(without, maml, atol=1e-6)
    assert (pulled != maml).any()


def test_the_model_learns() -> None:
    rows = matrix(finished(*SHORT, "algo=er", "model=tanh_net"))
    assert rows[-1].mean() > rows[0].mean() + 0.1


def test_the_source_of_two_datasets_is_learned_task_by_task() -> None:
    rows = matrix(finished("data=two_datasets", "algo=er", "gpu.threads=1"))
    assert rows.shape == (5, 4)
    assert rows[-1].mean() > 0.8


def test_the_protocol_puts_the_parameters_back_after_relearning() -> None:
    """The same learning as `online`, so the same losses; a higher score on what was forgotten."""
    plain = finished(*SHORT, "algo=sgd", "seeds=[0,1]")
    relearned = finished(*SHORT, "algo=sgd", "seeds=[0,1]", "protocol=online_relearning", "logger=progress_file")
    losses = [
        [row["value"] for row in metacl_run.load(built.directory).curves if row["metric"] == "loss"]
        for built in (plain, relearned)
    ]
    assert losses[0] == losses[1]
    assert matrix(relearned)[-1, 0] > matrix(plain)[-1, 0]
    lines = Path("progress.txt").read_text(encoding="utf-8").splitlines()
    assert lines[0] == f"sgd {relearned.run_id} started"
    assert lines[-1] == f"sgd {relearned.run_id} completed"


def test_the_page_of_the_python_interface_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        exec(block, names)
    lines = capsys.readouterr().out.splitlines()
    assert "(1, 3, 2)" in lines
    assert any(line.startswith("maml") and "accuracy" in line for line in lines)
    assert Path("adapted.pt").is_file()


def test_the_learners_after_tasks_are_used_as_on_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    text = (DOCS / "representations.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)
    outputs = [names[name].module()(names["x"]).std().item() for name in ("first", "last")]
    lines = capsys.readouterr().out.splitlines()
    printed = [float(line.split()[1]) for line in lines[-5:]]
    assert [printed[0], printed[-1]] == pytest.approx(outputs)
    assert outputs[0] != pytest.approx(outputs[1])


def test_the_page_of_figures_runs() -> None:
    import matplotlib

    with matplotlib.rc_context({"backend": "agg"}):
        names: dict[str, object] = {}
        for block in re.findall(
            r"^```python\n(.*?)^```", (DOCS / "figures.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        ):
            exec(block, names)
    for name, width in (("accuracy.pdf", 3.25), ("both.pdf", 6.75)):
        content = Path(name).read_bytes()
        box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ", content)
        assert box is not None
        assert float(box[1]) == pytest.approx(72 * width)
        assert b"/Type3" not in content

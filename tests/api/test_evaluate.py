"""A finished run is evaluated again with other settings, without training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import metacl_run as mr
from metacl_run.experiment import run
from metacl_run.trained_run import evaluation_of
from tests.support.commands import run_command
from tests.support.runs import assert_same_run, stop_after
from tests.support.small_runs import KINDS, settings


@pytest.mark.parametrize("kind", KINDS)
def test_the_settings_of_the_run_give_its_last_row(kind: str, finished_runs: dict[str, mr.RunResult]) -> None:
    run, again = finished_runs[kind], mr.evaluate(finished_runs[kind])
    assert again.directory.parent == run.directory / "evaluations"
    assert np.array_equal(again.matrix[:, -1], run.matrix[:, -1], equal_nan=True)  # a domain that a seed never met
    assert again.metrics["accuracy"] == run.metrics["accuracy"]
    assert again.summary["evaluation_of"]["run_id"] == run.run_id


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("continual_meta", "protocol.eval_episodes=7"),
        ("meta_continual", "protocol.schedule=[2,5]"),
        ("meta_continual", "protocol.rates=[0.5]"),
    ],
)
def test_it_is_what_a_run_with_these_settings_ends_with(
    kind: str, change: str, finished_runs: dict[str, mr.RunResult], tmp_path: Path
) -> None:
    whole = mr.run([*settings(kind, tmp_path), change])
    again = mr.evaluate(finished_runs[kind], [change])
    assert np.array_equal(again.matrix[:, -1], whole.matrix[:, -1])
    assert again.metrics["accuracy"] == whole.metrics["accuracy"]
    assert not np.array_equal(again.matrix[:, -1], finished_runs[kind].matrix[:, -1])


def test_more_shots_and_steps_change_the_numbers_and_not_the_run(finished_runs: dict[str, mr.RunResult]) -> None:
    run = finished_runs["continual_meta"]
    before = (run.directory / "summary.json").read_bytes()
    again = mr.evaluate(run, ["data.shots=3", "algo.eval_inner_steps=5", "protocol.eval_episodes=20"])
    assert again.config["data"]["shots"] == 3
    assert not np.array_equal(again.matrix[:, -1], run.matrix[:, -1])
    assert list(again.metrics) == ["accuracy", "transductive_accuracy"]
    assert np.isnan(again.matrix[:, :-1]).all()
    assert (run.directory / "summary.json").read_bytes() == before


def test_an_evaluation_that_was_stopped_goes_on(finished_runs: dict[str, mr.RunResult], tmp_path: Path) -> None:
    directory = tmp_path / "run"
    shutil.copytree(finished_runs["continual_meta"].directory, directory)
    experiment = evaluation_of(directory, ["protocol.eval_episodes=9", "progress=none"])
    stop_after(experiment, 1)
    assert run(experiment) == 0
    stopped = experiment.directory.rename(tmp_path / "stopped")
    assert run(experiment) == 0
    assert_same_run(stopped, experiment.directory)


def test_the_command_shows_an_evaluation_that_is_there(finished_runs: dict[str, mr.RunResult], tmp_path: Path) -> None:
    words = (f"evaluate={finished_runs['online'].directory}", "progress=plain")
    first, second = run_command(*words, cwd=tmp_path), run_command(*words, cwd=tmp_path)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert "evaluation of run" in first.stdout
    assert "computed before" in second.stdout
    summary = json.loads(next((finished_runs["online"].directory / "evaluations").glob("*/summary.json")).read_text())
    assert summary["command"].startswith(f"metacl-run evaluate={finished_runs['online'].directory}")


@pytest.mark.parametrize(
    ("kind", "overrides", "message"),
    [
        ("continual_meta", ["data.num_tasks=3"], "data.num_tasks: was fixed when the run learned; an evaluation can change"),
        ("continual_meta", ["data.shot=3"], "Did you mean data.shots?"),
        ("continual_meta", ["algo=reptile"], "algo: was fixed when the run learned"),
        ("continual_meta", ["seeds=[7]"], "seeds: was fixed"),
        ("continual_meta", ["data=glyphs"], "from which the run has learned"),
        ("continual_meta", ["data.ways=2"], "does not fit these settings"),
        ("continual_meta", ["data.shots=2,5"], "metacl-run -m"),
        ("continual_meta", ["table=oml"], "has no effect on the evaluation of a run"),
        ("continual_meta", ["protocol.eval_episodes=0"], "protocol.eval_episodes=0: must be at least 1"),
        ("online", ["protocol.eval_split=validation"], "none are left for validation"),
        ("meta_continual", ["protocol.eval_split=validation"], "none are left for validation"),
    ],
)
def test_what_it_refuses(kind: str, overrides: list[str], message: str, finished_runs: dict[str, mr.RunResult]) -> None:
    with pytest.raises(mr.UserError, match=message.replace(".", r"\.").replace("[", r"\[").replace("?", r"\?")):
        mr.evaluate(finished_runs[kind], overrides)


def test_a_run_of_another_version_or_that_has_not_completed(finished_runs: dict[str, mr.RunResult], tmp_path: Path) -> None:
    directory = tmp_path / "run"
    shutil.copytree(finished_runs["online"].directory, directory)
    summary = json.loads((directory / "summary.json").read_text())

    def write(**changes: object) -> None:
        (directory / "summary.json").write_text(json.dumps({**summary, **changes}))

    write(environment={"metacl_run": "0.2.0"})
    with pytest.raises(mr.UserError, match=r"version 0\.2\.0 computed this run"):
        mr.evaluate(directory)
    write(status="interrupted")
    with pytest.raises(mr.UserError, match="the run is interrupted, and only a completed one"):
        mr.evaluate(directory)
    write()
    (directory / "checkpoint.pt").write_bytes(b"half")
    with pytest.raises(mr.UserError, match="truncated or corrupted"):
        mr.load(directory).learner()
    with pytest.raises(mr.UserError, match="there is no such folder"):
        mr.evaluate(tmp_path / "none")


def test_an_evaluation_is_not_evaluated(finished_runs: dict[str, mr.RunResult]) -> None:
    again = mr.evaluate(finished_runs["online"])
    with pytest.raises(mr.UserError, match="is an evaluation itself"):
        mr.evaluate(again)

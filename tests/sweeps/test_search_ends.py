"""How a search ends: what counts as tried, what its results say, and why trials are missing where some are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metacl_run.cli import command
from metacl_run.config.compose import split
from metacl_run.core.exit_status import FAILED
from metacl_run.sweeps import search_command
from metacl_run.sweeps.job import JobResult
from metacl_run.sweeps.search import Search, SearchSettings, prepare
from metacl_run.sweeps.search_results import TrialEntry, write_results
from tests.support.settings import TINY

optuna = pytest.importorskip("optuna")

SMALL = [*TINY, "data.validation_classes=4", "progress=none"]


def prepared(*overrides: str, seed: int = 0) -> Search:
    settings = SearchSettings(trials=3, metric=None, direction=None, sampler="random", pruner=None, seed=seed)
    return prepare(settings, split([*SMALL, *overrides]), None)


@pytest.mark.parametrize("seed", range(4))
def test_settings_that_diverged_are_not_tried_again(seed: int, tmp_path: Path) -> None:
    from metacl_run.sweeps.study import ask, num_finished, open_study, tell

    search = prepared(f"output_dir={tmp_path}", "algo.inner_steps=1,2,3", seed=seed)
    tried = []
    while (proposal := ask(search)) is not None and len(tried) < 10:
        trial, overrides = proposal
        tried.append(overrides[-1])
        tell(trial, None, directory=tmp_path, diverged=True)
    assert sorted(tried) == [f"algo.inner_steps={count}" for count in (1, 2, 3)]
    assert num_finished(open_study(search)) == search.count_points() == 3


def test_the_results_have_the_settings_that_the_trials_had(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from metacl_run.sweeps.study import ask, listed_trials, open_study, tell

    search = prepared(f"output_dir={tmp_path}", "algo.outer_lr=range(0.1,0.8,0.2)")  # in floats 0.1 + 0.2 is not 0.3
    had = {}
    while (proposal := ask(search)) is not None:
        trial, overrides = proposal
        had[trial.number + 1] = overrides[-1]
        tell(trial, 0.9 if overrides[-1] == "algo.outer_lr=0.3" else 0.1, directory=tmp_path)
    write_results(search, listed_trials(search, open_study(search)))
    content = json.loads((search.folder / "search.json").read_text())
    assert {trial["trial"]: f"algo.outer_lr={trial['params']['algo.outer_lr']!r}" for trial in content["trials"]} == had
    words = content["best"]["command"].split()
    assert "algo.outer_lr=0.3" in words
    assert not any("eval_split" in word for word in words)
    assert content["best"]["command"] in capsys.readouterr().out


def test_trials_that_diverged_are_listed_with_their_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search = prepared(f"output_dir={tmp_path}", "algo.outer_lr=interval(0.001,100)")
    search.folder.mkdir(parents=True)
    rates = {1: 0.5, 2: 30.0, 3: 0.01, 4: 80.0}
    values = {1: 0.25, 3: 0.75}
    trials = [
        TrialEntry(trial, "completed" if trial in values else "diverged", values.get(trial), {"algo.outer_lr": rate}, None)
        for trial, rate in rates.items()
    ]
    running = TrialEntry(5, "running", None, {}, None)
    write_results(search, [*trials, running])
    printed = capsys.readouterr().out
    rows = [line.split() for line in printed.splitlines() if line.split()[:1] and line.split()[0].isdigit()]
    assert rows == [["3", "0.75", "0.01"], ["1", "0.25", "0.5"], ["2", "diverged", "30"], ["4", "diverged", "80"]]
    many = [TrialEntry(trial, "diverged", None, {"algo.outer_lr": 90.0 + trial}, None) for trial in range(1, 14)]
    write_results(search, many)
    printed = capsys.readouterr().out
    rows = [line.split() for line in printed.splitlines() if line.split()[1:2] == ["diverged"] or "more diverged" in line]
    assert len(rows) == 11
    assert rows[-2:] == [["10", "diverged", "100"], ["3", "more", "diverged"]]


def test_a_trial_whose_settings_are_being_chosen_is_no_trouble(tmp_path: Path) -> None:
    """Trials side by side: the study of one shows the other before all its settings are there."""
    from metacl_run.sweeps.study import ask, distribution, listed_trials, open_study

    search = prepared(f"output_dir={tmp_path}", "algo.inner_steps=1,2", "algo.outer_lr=0.1,0.2")
    first = search.dimensions[0]
    open_study(search).ask({first.key: distribution(first)})
    assert ask(search) is not None
    write_results(search, listed_trials(search, open_study(search)))
    trials = json.loads((search.folder / "search.json").read_text())["trials"]
    assert [len(trial["params"]) for trial in trials] == [1, 2]


def test_why_trials_are_missing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*SMALL, f"output_dir={tmp_path}", "algo.inner_steps=1,2", "search.trials=2"]
    monkeypatch.setattr(search_command, "compute", lambda *_, **__: JobResult(FAILED, "the disk is full"))
    assert command(words, None, multirun=True) == FAILED
    printed = capsys.readouterr().out
    assert "a trial failed: the disk is full" in printed
    assert "search.trials=2: 0 of 2 trials have finished; 2 failed, and the same command tries again\n" in printed
    monkeypatch.setattr("metacl_run.sweeps.study.ask", lambda _: None)
    assert command(words, None, multirun=True) == FAILED
    printed = capsys.readouterr().out
    assert "search.trials=2: 0 of 2 trials have finished; no settings were left that no trial has had; ask for" in printed

"""Search: what it may choose, that it never sees test data, that it goes on, and that it ends trials that fall behind."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metacl_run.cli import command
from metacl_run.config.compose import split
from metacl_run.core.errors import ConfigError, StorageError
from metacl_run.sweeps.search import Search, SearchSettings, prepare
from metacl_run.sweeps.search_results import write_results
from metacl_run.sweeps.space import Dimension, space
from tests.support.settings import TINY

optuna = pytest.importorskip("optuna")

SMALL = [*TINY, "data.validation_classes=4", "progress=none"]


# -------------------------------------------------------------------------------------------------------------------- space


@pytest.mark.parametrize(
    ("line", "expected", "ends"),
    [
        ("algo.inner_lr=interval(0.1,0.5)", Dimension("algo.inner_lr", 0.1, 0.5), ("=0.1", "=0.5")),
        ("algo.inner_lr=tag(log,interval(0.01,1))", Dimension("algo.inner_lr", 0.01, 1.0, log=True), ("=0.01", "=1.0")),
        ("algo.inner_steps=int(interval(1,5))", Dimension("algo.inner_steps", 1, 5), ("=1", "=5")),
        ("algo.inner_steps=range(1,10,4)", Dimension("algo.inner_steps", 1, 9, step=4), ("=1", "=9")),
        ("algo.inner_steps=shuffle(3,1,2)", Dimension("algo.inner_steps", choices=("1", "2", "3")), ("=1", "=2", "=3")),
        ("algo=maml,anil", Dimension("algo", choices=("maml", "anil")), ("=maml", "=anil")),
        ("model.hidden=[8],[8,8]", Dimension("model.hidden", choices=("[8]", "[8,8]")), ("=[8]", "=[8,8]")),
    ],
)
def test_what_a_search_may_choose(line: str, expected: Dimension, ends: tuple[str, ...]) -> None:
    fixed, (found,) = space(split([line, "seeds=[0,1]"]).run)
    assert fixed == ["seeds=[0,1]"]
    assert found == expected
    assert found.ends == tuple(found.key + end for end in ends)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("algo.inner_lr=interval(0.5,0.1)", "an interval's start must be below its end$"),
        ("algo.inner_lr=tag(log,interval(0,1))", "and its start above 0, for a logarithmic scale$"),
        ("algo.inner_steps=range(1,2)", "must have at least two values$"),
        ("seeds=[0]", "^search: there is nothing to search"),
    ],
)
def test_what_cannot_be_searched(line: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        space(split([line]).run)


# ------------------------------------------------------------------------------------------------------------------ refusals


def prepared(*overrides: str, **changes: Any) -> Search:
    given = {"trials": 3, "metric": None, "direction": None, "sampler": "tpe", "pruner": None, "seed": 0, **changes}
    return prepare(SearchSettings(**given), split([*SMALL, *overrides]), None)


def test_trials_are_runs_on_validation_data() -> None:
    search = prepared("algo.inner_lr=interval(0.1,0.5)")
    assert search.fixed[-1] == "protocol.eval_split=validation"
    assert (search.metric, search.direction, search.pruner) == ("accuracy", "maximize", "median")
    again = prepared("algo.inner_lr=interval(0.1,0.5)", "protocol.eval_split=validation", trials=99)
    assert again.folder == search.folder  # the same search
    assert prepared("algo.inner_lr=interval(0.1,0.6)").folder != search.folder
    lowest = prepared("algo.inner_lr=interval(0.1,0.5)", metric="forgetting")
    assert (lowest.direction, lowest.pruner) == ("minimize", "none")
    assert prepared("algo.inner_lr=interval(0.1,0.5)", metric="bwt").direction == "maximize"


@pytest.mark.parametrize(
    ("overrides", "changes", "message"),
    [
        (["protocol.eval_split=test"], {}, r"^protocol\.eval_split=test: a search never sees test data"),
        (["protocol.eval_split=test,validation"], {}, r"^protocol\.eval_split: cannot be searched"),
        ([], {"metric": "acuracy"}, r"^search\.metric=acuracy: no run has it\. Did you mean accuracy\?"),
        ([], {"metric": "bwt", "pruner": "median"}, r"^search\.pruner=median: goes by accuracy along the way"),
        (["algo.inner_steps=int(interval(1,5))", "algo.outer_lr=-1,0.1"], {}, r"^algo\.outer_lr=-1: must be greater than 0"),
        (["algo.outer_lr=0.1,-1"], {}, r"nothing was started.*\njob algo\.outer_lr=-1\n  algo\.outer_lr=-1: must be"),
        (["data.validation_classes=0"], {}, r"^data\.validation_classes=0: leaves no class to evaluate on"),
    ],
)
def test_what_is_refused_before_anything_starts(overrides: list[str], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        prepared("algo.inner_lr=interval(0.1,0.5)", *overrides, **changes)


def test_settings_of_the_search_are_checked(tmp_path: Path) -> None:
    given = [*SMALL, f"output_dir={tmp_path}", "algo.inner_lr=interval(0.1,0.5)"]
    for line, message in {
        "search.trials=0": r"^search\.trials=0: must be at least 1$",
        "search.trails=3": r"^search\.trails=3: SearchSettings has no such setting\. Did you mean search\.trials\?",
        "search.sampler=tpee": r"^search\.sampler=tpee: must be one of tpe, random\. Did you mean tpe\?$",
    }.items():
        with pytest.raises(ConfigError, match=message):
            command([*given, line], None, multirun=True)
    with pytest.raises(ConfigError, match=r"^search\.trials=3: goes with metacl-run -m$"):
        command([*given, "search.trials=3"], None, multirun=False)
    with pytest.raises(ConfigError, match=r"interval\(0\.1,0\.5\): an interval has no end of values; search\.trials=N"):
        command(given, None, multirun=True)
    assert not list(tmp_path.iterdir())


# -------------------------------------------------------------------------------------------------------- a search for real


@pytest.fixture
def search(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict[str, Any], str]]:
    def start(trials: int, *more: str) -> tuple[int, dict[str, Any], str]:
        space_ = ["algo.outer_lr=tag(log,interval(0.001,0.1))", "algo.inner_steps=1,2"]
        status = command([*SMALL, f"output_dir={tmp_path}", *space_, f"search.trials={trials}", *more], None, multirun=True)
        (results,) = tmp_path.glob("searches/*/search.json")
        return status, json.loads(results.read_text()), capfd.readouterr().out

    return start


def test_a_search_finds_the_best_and_goes_on(search: Callable[..., Any], tmp_path: Path) -> None:
    status, found, printed = search(2)
    assert status == 0
    assert [trial["state"] for trial in found["trials"]] == ["completed"] * 2
    best = max(found["trials"], key=lambda trial: (trial["value"], -trial["trial"]))
    assert {key: found["best"][key] for key in best} == best
    assert f"algo.outer_lr={best['params']['algo.outer_lr']!r}" in found["best"]["command"]
    assert "eval_split" not in found["best"]["command"]
    assert re.search(r"trial 1 completed: accuracy [\d.]+ on validation data", printed)
    for trial in found["trials"]:
        summary = json.loads((Path(trial["run"]) / "summary.json").read_text())
        assert summary["metrics"]["accuracy"]["mean"] == trial["value"]
        assert summary["eval_split"] == "validation"
    assert len({trial["params"]["algo.outer_lr"] for trial in found["trials"]}) == 2
    status, more, printed = search(3)
    assert status == 0
    assert more["trials"][:2] == found["trials"]
    assert len(more["trials"]) == 3
    assert "1 trials to go" in printed
    status, same, printed = search(3, "sweep.status=true")
    assert (status, same) == (0, more)


def test_interrupted_trials_are_continued_first_and_listed_once(tmp_path: Path) -> None:
    from metacl_run.sweeps.study import ask, listed_trials, num_finished, open_study, requeue_interrupted, tell

    search = prepared(f"output_dir={tmp_path}", "algo.outer_lr=interval(0.1,0.5)")
    _, overrides = ask(search)
    second, others = ask(search)
    assert overrides != others
    assert tell(second, 0.5, directory=tmp_path) == "completed"
    study = open_study(search)
    assert num_finished(study) == 1
    requeue_interrupted(study)
    third, again = ask(search)
    assert again == overrides
    assert tell(third, None, directory=tmp_path, diverged=True) == "diverged"
    fourth, _ = ask(search)
    assert tell(fourth, None, directory=None) == "failed"
    write_results(search, listed_trials(search, open_study(search)))
    assert num_finished(open_study(search)) == 2  # another trial makes up for a failed one
    trials = json.loads((search.folder / "search.json").read_text())["trials"]
    states = {trial["trial"]: trial["state"] for trial in trials}
    assert states == {2: "completed", 3: "diverged", 4: "failed"}  # the first was continued as the third


def test_a_second_process_on_the_same_search_is_told(tmp_path: Path) -> None:
    import filelock

    given = [*SMALL, f"output_dir={tmp_path}", "algo.outer_lr=0.1,0.2", "search.trials=1"]
    folder = prepared(f"output_dir={tmp_path}", "algo.outer_lr=0.1,0.2").folder
    folder.mkdir(parents=True)
    with filelock.FileLock(folder / ".lock"), pytest.raises(StorageError, match="another process runs this search"):
        command(given, None, multirun=True)


def test_a_trial_that_falls_behind_is_ended(tmp_path: Path) -> None:
    from metacl_run.sweeps.study import ask, tell
    from metacl_run.sweeps.watch import Watch

    search = prepared(f"output_dir={tmp_path}", "algo.outer_lr=interval(0.1,0.5)")
    draw = random.Random(0)

    def record(unit: int, score: float) -> str:
        other = draw.random()  # of a task not seen yet, which must not count
        return json.dumps({"kind": "eval", "unit": unit, "task": 0, "accuracy": [[score, other], [score, other]]}) + "\n"

    for i in range(6):  # the first five have nothing to be compared with
        trial, _ = ask(search)
        directory = tmp_path / str(i)
        directory.mkdir()
        watch = Watch(search, trial, directory, units=4)
        assert watch() is False  # nothing is there yet
        score = 0.5 + i / 100 if i < 5 else 0.3
        with open(directory / "metrics.jsonl", "w") as file:
            file.write(record(0, 0.99) + record(2, score))
            file.flush()
            assert watch() is (i == 5)
            file.write('{"kind": "eval", "unit": 4, "ta')
            file.flush()
            assert watch() is (i == 5)
        if i < 5:
            tell(trial, score, directory=directory)
        else:
            assert tell(trial, None, directory=directory, pruned=watch.pruned) == "pruned"


def test_records_that_a_run_writes_again_are_read_again(tmp_path: Path) -> None:
    """It goes back to its checkpoint and writes shorter records; when we look, it is beyond the place that was read."""
    from metacl_run.sweeps.study import ask
    from metacl_run.sweeps.watch import Watch

    search = prepared(f"output_dir={tmp_path}", "algo.outer_lr=interval(0.1,0.5)", pruner="none")
    trial, _ = ask(search)
    watch = Watch(search, trial, tmp_path, units=4)

    def write(*records: tuple[int, float, str]) -> None:
        lines = [{"kind": "eval", "unit": unit, "task": 0, "accuracy": [[score]], "time": at} for unit, score, at in records]
        (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    write((1, 0.1, "1" * 9), (2, 0.2, "2" * 9))
    watch()
    write((1, 0.1, "1"), (2, 0.2, "2"), (3, 0.3, "3"), (4, 0.4, "4"))
    watch()
    watch()
    curve = trial.study.get_trials()[trial.number].intermediate_values
    assert curve == {250: 0.1, 500: 0.2, 750: 0.3, 1000: 0.4}


def test_settings_are_tried_once_and_every_point_of_a_small_space_is(tmp_path: Path) -> None:
    from metacl_run.sweeps.study import ask, num_finished, open_study, tell

    dimensions = ["algo.inner_steps=range(1,4)", "algo.outer_lr=range(0.1,0.5,0.2)"]
    search = prepared(f"output_dir={tmp_path}", *dimensions, sampler="random")
    assert search.count_points() == 6
    seen = []
    while (proposal := ask(search)) is not None:
        trial, overrides = proposal
        tell(trial, 0.5, directory=None)
        seen.append(tuple(overrides[-2:]))
    assert len(seen) == len(set(seen)) == 6
    assert num_finished(open_study(search)) == 6


def test_two_workers_that_propose_the_same_last_point_try_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both see the same untried point; the one that comes second takes another."""
    from metacl_run.sweeps import study
    from metacl_run.sweeps.study import ask, tell

    monkeypatch.setattr(study, "ATTEMPTS", 0)
    search = prepared(f"output_dir={tmp_path}", "algo.inner_steps=1,2")
    open_study, beside = study.open_study, []

    def then_another_worker_asks(*args: Any, **kwargs: Any) -> Any:
        opened = open_study(*args, **kwargs)
        if "draw" in kwargs and not beside:
            beside.append(None)
            beside[0] = ask(search)
        return opened

    monkeypatch.setattr(study, "open_study", then_another_worker_asks)
    trial, overrides = ask(search)
    tell(trial, 0.5, directory=None)
    tell(beside[0][0], 0.5, directory=None)
    assert {overrides[-1], beside[0][1][-1]} == {"algo.inner_steps=1", "algo.inner_steps=2"}


def test_a_failed_trial_may_be_tried_again(tmp_path: Path) -> None:
    from metacl_run.sweeps.study import ask, tell

    search = prepared(f"output_dir={tmp_path}", "algo.inner_steps=1,2")
    for _ in range(4):
        trial, _ = ask(search)
        tell(trial, None, directory=None)


def test_steps_are_written_as_one_would_write_them_and_tried_once(tmp_path: Path) -> None:
    from metacl_run.sweeps.study import ask, tell

    search = prepared(f"output_dir={tmp_path}", "algo.outer_lr=range(0.1,0.8,0.2)", sampler="random")
    seen = []
    while (proposal := ask(search)) is not None:
        trial, overrides = proposal
        tell(trial, 0.5, directory=None)
        seen.append(overrides[-1])
    assert sorted(seen) == [f"algo.outer_lr={value}" for value in (0.1, 0.3, 0.5, 0.7)]


def test_a_range_of_halves_keeps_its_halves() -> None:
    _, (dimension,) = space(split(["algo.inner_lr=range(0.5,3)"]).run)
    assert list(dimension.values()) == [0.5, 1.5, 2.5]


def test_a_run_without_units_has_nothing_to_be_judged_by(tmp_path: Path) -> None:
    from metacl_run.sweeps.study import ask
    from metacl_run.sweeps.watch import Watch

    search = prepared(f"output_dir={tmp_path}", "algo.inner_steps=1,2")
    trial, _ = ask(search)
    (tmp_path / "metrics.jsonl").write_text('{"kind": "probe", "unit": 0, "task": 0, "accuracy": [[0.5]]}\n')
    assert Watch(search, trial, tmp_path, units=0)() is False

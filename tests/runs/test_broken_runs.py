"""Run directories that something has happened to: what is repaired, what is said, and that no number changes in silence."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metacl_run.config.load import Experiment
from metacl_run.core.errors import ConfigError, DataError, StorageError
from metacl_run.experiment import run
from metacl_run.protocols.training import TrainingPhase
from metacl_run.reporting.report_stamp import is_drawn
from metacl_run.storage.digested_file import write_digested
from metacl_run.storage.listener import Listener, Logger, RunInfo
from metacl_run.storage.stored_run import StoredRun
from tests.support.runs import assert_same_run, stop_after


def summary(built: Experiment) -> dict[str, Any]:
    return json.loads((built.directory / "summary.json").read_text())


# ------------------------------------------------------------------------------------------------------------- the report


def test_what_is_missing_of_a_report_is_drawn_again(
    drawn: Callable[..., Experiment], capsys: pytest.CaptureFixture[str]
) -> None:
    built = drawn()
    assert run(built) == 0
    files = {path: path.read_bytes() for path in built.directory.glob("figures/*")} | {
        built.directory / "report.html": (built.directory / "report.html").read_bytes()
    }
    assert len(files) >= 5
    capsys.readouterr()
    for lost in (built.directory / "report.html", min(files), max(files)):
        lost.unlink()
        assert not is_drawn(built.directory)
        assert run(drawn()) == 0
        assert "drawing them again" in capsys.readouterr().out
        assert {path: path.read_bytes() for path in files} == files
    assert run(drawn()) == 0
    assert "drawing" not in capsys.readouterr().out
    path = built.directory / "summary.json"
    path.write_text(path.read_text().replace('"peak_memory_mb"', '"peak_memory_mb" '))  # the report is of another summary
    assert not is_drawn(built.directory)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_between_summary_and_report(
    number: int, drawn: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    from metacl_run.reporting import figures

    original, signals = figures.draw, 1

    def told(directory: Path) -> Any:
        for _ in range(signals):
            os.kill(os.getpid(), number)
        return original(directory)

    monkeypatch.setattr("metacl_run.reporting.figures.draw", told)
    built = drawn()
    assert run(built) == 0  # one signal: it finishes what it is doing
    assert is_drawn(built.directory)
    signals = 2
    with pytest.raises(KeyboardInterrupt):
        run(drawn("rerun=true"))
    assert not is_drawn(built.directory)
    signals = 0
    assert run(drawn()) == 0
    assert is_drawn(built.directory)


def test_a_finished_run_is_shown_where_nothing_can_be_written(
    drawn: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    built = drawn()
    run(built)
    (built.directory / "report.html").unlink()

    def refuse(_: Path) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("metacl_run.reporting.figures.draw", refuse)
    assert run(drawn()) == 0
    out, err = capsys.readouterr()
    assert "not drawn again: " in err
    assert "Read-only file system" in err
    assert "accuracy  0." in out


# ------------------------------------------------------------------------------------------------------------ before it starts


def test_missing_data_are_said_before_there_is_a_directory(
    experiment: Callable[..., Experiment], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["data=split_omniglot", f"data.root={tmp_path}", "data.download=false", "logger=wandb", "progress=plain"]
    with pytest.raises(DataError, match=r"(?s)^Omniglot was not found, and data\.download is false.*metacl-run data="):
        run(experiment(f"output_dir={tmp_path / 'runs'}", *given, tiny=[]))
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")  # whoever called says it, once


class Late(Listener, Logger):
    """A logger, and its listener."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def listener(self) -> Listener:
        return self

    def started(self, info: RunInfo) -> None:
        self.heard.append("started")

    def record(self, record: dict[str, Any]) -> None:
        self.heard.append("record")

    def finished(self, run: StoredRun) -> None:
        self.heard.append(run.status)


class Refusing(Late):
    def started(self, info: RunInfo) -> None:
        raise ConfigError("no key")


def test_only_listeners_that_started_hear_of_the_end(
    small: Callable[..., Experiment], capfd: pytest.CaptureFixture[str]
) -> None:
    built, late, later = small(), Late(), Late()
    object.__setattr__(built, "logger", {"late": late, "refusing": Refusing(), "later": later})
    with pytest.raises(ConfigError, match="no key"):
        run(built)
    assert (late.heard, later.heard) == (["started", "failed"], [])
    assert "no key" not in "".join(capfd.readouterr())


# -------------------------------------------------------------------------------------------------------- while it goes on


def test_the_progress_stands_in_the_log_with_times(small: Callable[..., Experiment]) -> None:
    built = small("progress=none")
    stop_after(built, 2)
    run(built)
    lines = (built.directory / "run.log").read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO ", line) for line in lines)
    said = [line.split(" INFO ")[1] for line in lines]
    assert said[1] == f"run directory {built.directory}"
    assert said[2].startswith("before learning: accuracy ")
    assert said.index("the same command goes on from meta-update 2/4") < said.index("continuing after meta-update 2/4")
    assert said[-2].startswith("after task 1/1: accuracy ")
    assert said[-1] == "completed"


def test_what_a_killed_process_left_half_written_goes(small: Callable[..., Experiment], tmp_path: Path) -> None:
    built = small()
    (built.directory / "figures").mkdir(parents=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    left = [built.directory / name for name in (".config.yaml.1.new", ".checkpoint.pt.new", "figures/.forgetting.png.7.new")]
    for path in left:
        path.write_bytes(b"half")
    (built.directory / ".checkpoint.pt.2.new").symlink_to(elsewhere)
    assert run(built) == 0
    assert not list(built.directory.rglob("*.new"))
    assert elsewhere.read_text() == "mine"


def test_nothing_is_written_through_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from metacl_run.core import files

    monkeypatch.setattr(files.secrets, "token_hex", lambda _: "0123")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    (tmp_path / ".file.0123.new").symlink_to(elsewhere)
    files.write_atomically(tmp_path / "file", b"new")
    assert (elsewhere.read_text(), (tmp_path / "file").read_bytes()) == ("mine", b"new")
    assert not (tmp_path / "file").is_symlink()


def test_a_directory_that_is_removed_meanwhile(small: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch) -> None:
    built, original = small(), TrainingPhase.after_step

    def remove(self: Any) -> None:
        shutil.rmtree(built.directory)
        original(self)

    monkeypatch.setattr(TrainingPhase, "after_step", remove)
    with pytest.raises(StorageError, match="somebody removed this folder while it was written to"):
        run(built)


# ------------------------------------------------------------------------------------------------------------- checkpoints


def forge(path: Path, change: Callable[[Any], Any]) -> None:
    """Changes what a checkpoint holds and gives it the right digest."""
    content = torch.load(path, weights_only=True)["content"]
    content = change(content)
    write_digested(path, content)


def without(name: str) -> Callable[[Any], Any]:
    return lambda content: {key: value for key, value in content.items() if key != name}


def with_(**changes: Any) -> Callable[[Any], Any]:
    return lambda content: {**content, **changes}


def with_scores(**changes: Any) -> Callable[[Any], Any]:
    return lambda content: {**content, "scores": {**content["scores"], **changes}}


def wider(content: Any) -> Any:
    params = content["learner"]["meta"]["params"]
    name = next(iter(params))
    params[name] = torch.cat([params[name], params[name]], 1)
    return content


FORGED = {
    "a list": lambda _: [1, 2],
    "no unit": without("unit"),
    "no learner": without("learner"),
    "a field of nobody's": with_(nope=1),
    "a unit that is no number": with_(unit="3"),
    "a negative unit": with_(unit=-1),
    "a learner's state of another kind": with_(learner={"params": torch.zeros(1)}),
    "wider weights": wider,
    "a matrix of another shape": with_scores(matrix=torch.zeros(1, 5, 4, dtype=torch.float64)),
    "a matrix of another type": with_scores(matrix=torch.zeros(1, 2, 1)),
    "probes of another shape": with_scores(probes=[{"task": 0, "accuracy": [[0.1, 0.2]]}]),
    "half-widths of another shape": with_scores(half_width=torch.zeros(2, 3)),
    "a history of nobody's": with_(transductive={"matrix": torch.zeros(1, 2, 1)}),
    "sums of another shape": with_(metric_sums={"loss": torch.zeros(3)}),
}


def test_a_checkpoint_that_is_not_of_this_run_is_said_and_the_one_before_is_used(small: Callable[..., Experiment]) -> None:
    unbroken = small("output_dir=" + str(small().output_dir / "unbroken"))
    run(unbroken)
    built = small()
    stop_after(built, 3)
    kept = built.directory.with_name("kept")
    shutil.copytree(built.directory, kept)
    for name, change in FORGED.items():
        shutil.rmtree(built.directory)
        shutil.copytree(kept, built.directory)
        forge(built.directory / "checkpoint.pt", change)  # type: ignore[arg-type]
        assert run(built) == 0, name
        (warning,) = summary(built)["warnings"]
        assert "checkpoint.pt is truncated or corrupted: " in warning, name
        assert warning.endswith("; the one before it is used"), name
        assert_same_run(built.directory, unbroken.directory)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: forge(d / "checkpoint.pt", with_(unit=10**6)), r"metrics.jsonl ends at unit 2, but .* are not of one run"),
        (lambda d: forge(d / "checkpoint.pt", with_(unit=1)), r"metrics.jsonl ends at unit 2, but .* are not of one run"),
        (lambda d: (d / "metrics.jsonl").write_bytes(b""), r"metrics.jsonl holds 0 bytes, but .*: somebody changed it"),
        (lambda d: damaged_line(d / "metrics.jsonl", b"\xff"), r"metrics.jsonl: line 1 is no record: somebody changed it"),
        (lambda d: damaged_line(d / "metrics.jsonl", b"]"), r"metrics.jsonl: line 1 is no record: somebody changed it"),
        (lambda d: instead(d / "checkpoint.pt", Path.mkdir), r"checkpoint.pt: is no file. Remove it"),
        (lambda d: instead(d / "checkpoint.pt", os.mkfifo), r"checkpoint.pt: is no file. Remove it"),
        (lambda d: instead(d / "summary.json", os.mkfifo), r"summary.json: is no file. Remove it"),
        (lambda d: instead(d / "metrics.jsonl", Path.mkdir), r"metrics.jsonl: is no file. Remove it"),
    ],
)
def test_files_that_do_not_go_together_are_one_message(
    damage: Callable[[Path], None], message: str, small: Callable[..., Experiment]
) -> None:
    built = small()
    stop_after(built, 2)
    damage(built.directory)
    for _ in range(2):  # and at every start after it
        with pytest.raises(StorageError, match=message):
            run(small())


def damaged_line(path: Path, byte: bytes) -> None:
    content = path.read_bytes()
    path.write_bytes(byte + content[1:])


def instead(path: Path, make: Callable[[Path], Any]) -> None:
    path.unlink()
    make(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: change_summary(d, score="nope"),
        lambda d: change_summary(d, task_names=5),
        lambda d: np.save(d / "accuracy_matrix.npy", np.zeros((1, 9, 9))),
    ],
)
def test_a_finished_run_whose_files_do_not_go_together_is_one_message(
    damage: Callable[[Path], None], small: Callable[..., Experiment]
) -> None:
    built = small()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("metacl_run.reporting.figures.draw", lambda _: None)
        patch.setattr("metacl_run.reporting.report.write", lambda _: None)
        run(built)
    damage(built.directory)
    with pytest.raises(StorageError, match=str(built.directory)) as caught:
        run(small())
    assert "\n" not in str(caught.value)


def change_summary(directory: Path, **changes: Any) -> None:
    path = directory / "summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_summary_that_is_nested_too_deep_is_computed_again(small: Callable[..., Experiment]) -> None:
    built = small()
    run(built)
    (built.directory / "summary.json").write_text('{"a":' * 100_000)
    assert run(small()) == 0
    assert summary(built)["status"] == "completed"


@pytest.mark.parametrize("name", ["metrics.jsonl", "run.log", "checkpoint.pt"])
def test_no_file_of_a_run_is_written_through_a_link(name: str, small: Callable[..., Experiment], tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    built = small()
    built.directory.mkdir(parents=True)
    (built.directory / name).symlink_to(elsewhere)
    with pytest.raises(StorageError, match=f"{name}: is a link"):
        run(built)
    assert elsewhere.read_text() == "mine"

"""Listeners receive what the store wrote: console, W&B offline (read back from its file), TensorBoard, and failures."""

from __future__ import annotations

import io
import json
import logging
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console as Terminal

from metacl_run.errors import ConfigError, SettingError
from metacl_run.tracking.console import Console, task_table
from metacl_run.tracking.forgiving import Forgiving
from metacl_run.tracking.listener import Listener, NoLogger, RunInfo
from metacl_run.tracking.scalars import scalars
from metacl_run.tracking.tensorboard_listener import TensorBoardLogger
from metacl_run.tracking.view import View, clock, sparkline
from metacl_run.tracking.wandb_listener import WandbLogger

UNITS, TASKS, SEEDS = 4, 2, [3, 7]
LAST = [[0.6, 0.8], [0.7, 0.9]]


def info_of(directory: Path, **changes: Any) -> RunInfo:
    directory.mkdir(parents=True, exist_ok=True)
    info = RunInfo(
        run_id="0123abcd",
        directory=directory,
        algo="maml",
        model="conv4",
        data="split_glyphs",
        protocol="continual_meta",
        protocol_kind="continual_meta",
        chance=0.2,
        seeds=SEEDS,
        task_names=[["Hebrew [old]", "Korean"]] * 2,
        units_per_task=UNITS,
        unit_name="meta-update",
        score="accuracy",
        config={"data": {"ways": 5}, "algo": {"inner_lr": 0.4}},
        first_unit=0,
    )
    return info._replace(**changes)


def records() -> Iterator[dict[str, Any]]:
    """Two tasks of four units; a loss that is null once; a kind nobody knows."""
    yield {"kind": "eval", "unit": 0, "task": 0, "row": 0, "wall_s": 0.0, "accuracy": [[0.2, 0.2]] * 2}
    for unit in range(1, UNITS * TASKS + 1):
        loss = [None, 1.0] if unit == 5 else [1.0 / unit, 2.0 / unit]
        task = (unit - 1) // UNITS
        metrics = {"loss": loss, "accuracy": [0.5, 0.6]}
        yield {"kind": "train", "unit": unit, "task": task, "wall_s": float(unit), "metrics": metrics}
        if unit == UNITS:
            yield {"kind": "eval", "unit": 4, "task": 0, "row": 1, "wall_s": 4.5, "accuracy": [[0.8, 0.2], [0.9, 0.2]]}
    yield {"kind": "unknown", "unit": 8}
    yield {"kind": "eval", "unit": 8, "task": 1, "row": 2, "wall_s": 8.5, "accuracy": LAST}


def summary_of(info: RunInfo) -> dict[str, Any]:
    accuracy = {"mean": 0.75, "std": 0.07, "ci95": [0.1, 1.4], "values": [0.7, 0.8]}
    identity = {name: getattr(info, name) for name in ("run_id", "algo", "model", "data", "protocol", "seeds")}
    return {
        "status": "completed",
        **identity,
        "metrics": {"accuracy": accuracy},
        "timing": {"wall_s": 8.5},
        "task_names": info.task_names,
        "units_per_task": UNITS,
        "unit_name": info.unit_name,
    }


def stored(info: RunInfo) -> dict[str, Any]:
    """The files the results on the terminal are read from."""
    summary = summary_of(info)
    (info.directory / "summary.json").write_text(json.dumps(summary))
    (info.directory / "config.yaml").write_text("data: {ways: 5}\n")
    rows = [[[0.2, 0.2], first, last] for first, last in zip([[0.8, 0.2], [0.9, 0.2]], LAST, strict=True)]
    np.save(info.directory / "accuracy_matrix.npy", np.array(rows))
    return summary


def play(listener: Listener, info: RunInfo) -> None:
    listener.started(info)
    for record in records():
        listener.record(record)
    listener.finished(stored(info))


# ------------------------------------------------------------------------------------------------------------- scalars


def test_scalars_are_means_and_each_seed() -> None:
    named = scalars(list(records())[-1], SEEDS, "accuracy")
    assert named["eval/task_01"] == pytest.approx(0.65)
    assert named["eval/accuracy_all"] == named["eval/accuracy_seen"] == pytest.approx(0.75)
    assert named["seed_7/eval/task_02"] == 0.9
    assert scalars({"kind": "unknown"}, SEEDS, "accuracy") == {}


def test_scalars_of_one_seed_come_once_and_null_is_nan() -> None:
    record = {"kind": "train", "unit": 1, "task": 0, "wall_s": 0.0, "metrics": {"loss": [None]}}
    named = scalars(record, [3], "accuracy")
    assert list(named) == ["train/loss"]
    assert np.isnan(named["train/loss"])


# ------------------------------------------------------------------------------------------------------------- console


def test_plain_lines(tmp_path: Path) -> None:
    out = io.StringIO()
    with Console("auto", tmp_path / "run", Terminal(file=out, width=80)) as console:
        play(console, info_of(tmp_path / "run"))
    text = out.getvalue()
    assert "\x1b" not in text
    lines = text.splitlines()
    assert lines[0] == "maml, conv4, split_glyphs, seeds 3 7: 2 tasks of 4 meta-updates"
    assert "before learning: accuracy 0.200" in lines
    assert "after task 1/2 Hebrew [old]: accuracy 0.850" in lines
    assert "after task 2/2 Korean: accuracy 0.750 (mean of 2), earlier tasks -0.200 since learned" in lines
    assert any(line.startswith("accuracy") and "0.750" in line for line in lines)
    assert "Forgetting 0.20: accuracy on earlier tasks fell from 0.85 at best to 0.65 at the end; chance is 0.20." in lines


def errors() -> Iterator[dict[str, Any]]:
    """The records of a regression: the errors are what the accuracies lack to 3."""
    for record in records():
        if record["kind"] == "eval":
            record["mse"] = (3 - np.array(record.pop("accuracy"))).tolist()
        yield record


def test_errors_go_by_their_name_everywhere(tmp_path: Path) -> None:
    info = info_of(tmp_path / "run", score="mse", chance=None, config={"data": {"shots": 10}})
    out, live = io.StringIO(), io.StringIO()
    terminal = Terminal(file=live, force_terminal=True, width=100, height=30, legacy_windows=False, no_color=True)
    for console in (Console("plain", tmp_path, Terminal(file=out)), Console("rich", tmp_path, terminal)):
        with console:
            console.started(info)
            for record in errors():
                console.record(record)
    assert "before learning: mse 2.800" in out.getvalue()
    assert "after task 2/2 Korean: mse 2.250 (mean of 2), earlier tasks +0.200 since learned" in out.getvalue()
    assert "mse so far" in live.getvalue()
    for text in (out.getvalue(), live.getvalue()):
        assert "accuracy" not in text
        assert "chance" not in text
    named = scalars(list(errors())[-1], SEEDS, "mse")
    assert named["eval/mse_all"] == named["eval/mse_seen"] == pytest.approx(2.25)
    assert not [name for name in named if "accuracy" in name]


def test_a_change_for_the_worse_is_red_whatever_the_score(tmp_path: Path) -> None:
    found = {}
    for score, given in (("accuracy", records()), ("mse", errors())):
        view = View(info_of(tmp_path, score=score))
        for record in given:
            if record["kind"] in ("train", "eval"):
                view.take(record)
        change = next(iter(task_table(view, rows=5).columns[-1].cells))
        found[score] = (str(change), change.style)
    assert found == {"accuracy": ("-0.200", "red"), "mse": ("+0.200", "red")}


def test_plain_lines_are_rate_limited(tmp_path: Path) -> None:
    out = io.StringIO()
    with Console("plain", tmp_path / "run", Terminal(file=out, width=80)) as console:
        console.started(info_of(tmp_path, units_per_task=500))
        for record in records():
            if record["kind"] == "eval" and record["row"] == 0:
                console.record(record)
        for unit in range(1, 1001):  # a unit takes a tenth of a second: 100 s, at most one line in 10 s
            metrics = {"loss": [1.0, 1.0]}
            console.record({"kind": "train", "unit": unit, "task": 0, "wall_s": unit / 10, "metrics": metrics})
    lines = [line for line in out.getvalue().splitlines() if "left" in line]
    assert len(lines) == 10
    assert lines[1].endswith("1:20 left")  # 200 of 1000 units done in 20 s


def test_live_display_shows_tasks_and_gives_the_terminal_back(tmp_path: Path) -> None:
    out = io.StringIO()
    terminal = Terminal(file=out, force_terminal=True, width=100, height=30, legacy_windows=False)

    def interrupted() -> None:
        with Console("rich", tmp_path / "run", terminal) as console:
            console.started(info_of(tmp_path))
            for record in records():
                console.record(record)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    text = out.getvalue()
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # the cursor is shown again, last
    for shown in ("Hebrew [old]", "Korean", "8/8 meta-updates", "chance 0.20", "-0.200"):
        assert shown in text


def test_progress_none_prints_results_only(tmp_path: Path) -> None:
    out = io.StringIO()
    with Console("none", tmp_path / "run", Terminal(file=out, width=80)) as console:
        play(console, info_of(tmp_path / "run"))
    assert out.getvalue().startswith("completed")


def test_a_terminal_that_cannot_encode_a_name_still_gets_a_line(tmp_path: Path) -> None:
    raw = io.BytesIO()
    names = [["ひらがな", "Korean"]] * 2
    with Console("plain", tmp_path / "run", Terminal(file=io.TextIOWrapper(raw, encoding="ascii"))) as console:
        console.started(info_of(tmp_path, task_names=names))
        for record in records():
            console.record(record)
        console._terminal.file.flush()
    assert b"after task 1/2 ????: accuracy 0.850" in raw.getvalue()


def test_sparkline_and_clock() -> None:
    assert sparkline([0.0, 7.0], 10) == "▁█"
    assert sparkline([1.0, 1.0, float("nan")], 10) == "▁▁!"
    assert len(sparkline(list(map(float, range(1000))), 48)) == 48
    assert (clock(75), clock(4000)) == ("1:15", "1:06:40")


# -------------------------------------------------------------------------------------------------------------- loggers


class Failing(Listener):
    def __init__(self) -> None:
        self.calls = 0

    def started(self, info: RunInfo) -> None:
        pass

    def record(self, record: dict[str, Any]) -> None:
        self.calls += 1
        raise ConnectionError("network is down")

    def finished(self, summary: dict[str, Any]) -> None:
        self.calls += 1


def test_a_listener_that_fails_is_named_once_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    failing = Failing()
    with caplog.at_level(logging.WARNING, logger="metacl_run"):
        play(Forgiving(failing, "W&B"), info_of(tmp_path))
    assert failing.calls == 1
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("W&B failed and is left out")
    assert "network is down" in message


def test_no_logger_has_no_listeners() -> None:
    assert NoLogger().listeners() == []


def wandb_logger(**changes: Any) -> WandbLogger:
    settings = {"mode": "offline", "project": "p", "entity": None, "group": "g", "tags": ["t"], "name": None}
    return WandbLogger(**(settings | changes))


def test_wandb_settings_are_checked() -> None:
    with pytest.raises(SettingError, match="mode=ofline: must be one of online, offline, disabled"):
        wandb_logger(mode="ofline")


def leveldb_records(path: Path) -> Iterator[bytes]:
    """Payloads of a .wandb file: a 7-byte header, then LevelDB's log format (blocks of 32 KiB; crc, length, type)."""
    content = path.read_bytes()
    position, payload = 7, b""
    while position + 7 <= len(content):
        if (room := 32768 - position % 32768) < 7:
            position += room
            continue
        _, length, kind = struct.unpack("<IHB", content[position : position + 7])
        if kind == 0:
            return
        payload += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or last part
            yield payload
            payload = b""


@pytest.mark.timeout(120)
def test_wandb_offline_run_reads_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    from wandb.proto import wandb_internal_pb2 as proto

    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    info = info_of(tmp_path / "run")
    (info.directory / "report.html").write_text("<h1>report</h1>")
    (listener,) = wandb_logger().listeners()
    play(listener, info)

    (path,) = (tmp_path / "run").glob("wandb/offline-run-*/*.wandb")
    history: list[dict[str, Any]] = []
    summary: dict[str, Any] = {}
    seen = proto.Record()
    for payload in leveldb_records(path):
        record = proto.Record.FromString(payload)
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            history.append({item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items})
        elif record.WhichOneof("record_type") == "summary":
            summary |= {item.key or "/".join(item.nested_key): item.value_json for item in record.summary.update}
        elif record.WhichOneof("record_type") == "run" and record.run.run_id:
            seen = record
    assert (seen.run.run_id, seen.run.project, seen.run.run_group, list(seen.run.tags)) == ("0123abcd", "p", "g", ["t"])
    losses = {row["unit"]: row["train/loss"] for row in history if "train/loss" in row}
    assert losses[8] == pytest.approx(1.5 / 8)
    assert len(losses) == 8
    last = next(row for row in reversed(history) if "eval/task_01" in row)
    assert (last["unit"], last["seed_7/eval/task_02"]) == (8, 0.9)
    assert json.loads(summary["accuracy"]) == 0.75
    assert list(path.parent.glob("files/media/html/*.html"))


def test_wandb_that_cannot_start_is_a_mistake_to_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")

    def refuse(**_: Any) -> None:
        raise wandb.errors.UsageError("no API key configured")

    monkeypatch.setattr(wandb, "init", refuse)
    (listener,) = wandb_logger(mode="online").listeners()
    with pytest.raises(ConfigError, match=r"logger\.mode=online.*no API key.*logger\.mode=offline"):
        listener.started(info_of(tmp_path))


def tensorboard_logger() -> TensorBoardLogger:
    return TensorBoardLogger(flush_s=30, figures=True)


def test_tensorboard_reads_back(tmp_path: Path, make_picture: Callable[[Path], None]) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    info = info_of(tmp_path)
    make_picture(tmp_path / "figures" / "forgetting.png")
    (listener,) = tensorboard_logger().listeners()
    play(listener, info)
    events = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    task = [(event.step, event.value) for event in events.Scalars("eval/task_01")]
    assert task == [(0, pytest.approx(0.2)), (4, pytest.approx(0.85)), (8, pytest.approx(0.65))]
    assert [event.step for event in events.Scalars("seed_3/train/loss")] == list(range(1, 9))
    assert events.Scalars("summary/accuracy")[0].value == pytest.approx(0.75)
    assert events.Tags()["images"] == ["figures/forgetting"]


@pytest.fixture
def make_picture() -> Callable[[Path], None]:
    from PIL import Image

    def make(path: Path) -> None:
        path.parent.mkdir()
        Image.new("RGB", (8, 8)).save(path)

    return make


def test_missing_tensorboard_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install metacl-run\[tensorboard\]"):
        tensorboard_logger().listeners()

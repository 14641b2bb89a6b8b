"""What is told beside the terminal: W&B (read back from its offline file), TensorBoard, and what their failures do to a run."""

from __future__ import annotations

import json
import logging
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from metacl_run.config.components import fill
from metacl_run.core.errors import ConfigError
from metacl_run.listeners.fault_tolerant import FaultTolerantListener
from metacl_run.listeners.tensorboard_listener import TensorBoardLogger
from metacl_run.listeners.wandb_listener import WandbLogger
from metacl_run.storage.listener import Listener, RunInfo
from metacl_run.storage.stored_run import StoredRun
from tests.support.listeners import info_of, play, records, stored


class Failing(Listener):
    def __init__(self) -> None:
        self.calls = 0

    def started(self, info: RunInfo) -> None:
        pass

    def record(self, record: dict[str, Any]) -> None:
        self.calls += 1
        raise ConnectionError("network is down")

    def finished(self, run: StoredRun) -> None:
        self.calls += 1


def test_a_listener_that_fails_is_named_once_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    failing = Failing()
    with caplog.at_level(logging.WARNING, logger="metacl_run"):
        play(FaultTolerantListener(failing, "W&B"), info_of(tmp_path))
    assert failing.calls == 1
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("W&B failed and is left out")
    assert "network is down" in message


def test_no_logger_has_no_listeners() -> None:
    assert NoLogger().listeners() == []


def wandb_logger(**changes: Any) -> WandbLogger:
    settings = {"mode": "offline", "project": "p", "entity": None, "group": "g", "tags": ["t"], "name": None}
    return fill(WandbLogger, settings | changes, "logger")


def test_wandb_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"logger\.mode=ofline: must be one of online, offline, disabled"):
        wandb_logger(mode="ofline")
    for tag in ("", "x" * 65):
        with pytest.raises(ConfigError, match=r"^logger\.tags=.*every entry must have at (least 1|most 64) character"):
            wandb_logger(tags=["good", tag])
    assert wandb_logger(tags=["x" * 64])


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


def read_wandb(path: Path) -> tuple[Any, list[dict[str, Any]], dict[str, Any]]:
    """The run, its history and its summary in a .wandb file."""
    from wandb.proto import wandb_internal_pb2 as proto

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
    return seen.run, history, summary


@pytest.mark.timeout(120)
def test_wandb_offline_reads_back_and_what_goes_on_has_the_whole_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = pytest.importorskip("wandb")
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    everything = list(records())
    info = info_of(tmp_path / "run", first_unit=5, earlier=everything[:7])
    (info.directory / "report.html").write_text("<h1>report</h1>")
    (listener,) = wandb_logger().listeners()
    listener.started(info)
    for each in everything[7:]:
        listener.record(each)
    listener.finished(stored(info))
    wandb.teardown()  # as at the end of a process: its service may not have written the file before

    (path,) = (tmp_path / "run").glob("wandb/latest-run/*.wandb")
    run, history, summary = read_wandb(path)
    assert (run.run_id, run.project, run.run_group, list(run.tags)) == ("0123abcd", "p", "g", ["t"])
    losses = {row["unit"]: row["train/loss"] for row in history if "train/loss" in row}
    assert list(losses) == list(range(1, 9))
    assert losses[8] == pytest.approx(1.5 / 8)
    last = next(row for row in reversed(history) if "eval/task_01" in row)
    assert (last["unit"], last["seed_7/eval/task_02"]) == (8, 0.9)
    assert json.loads(summary["accuracy"]) == 0.75
    assert list(path.parent.glob("files/media/html/*.html"))


class Resumed:
    """Stands for a W&B run that the server knows up to a unit."""

    resumed = True

    def __init__(self, unit: int | None) -> None:
        self.summary = {} if unit is None else {"unit": unit}
        self.units: list[int] = []

    def define_metric(self, *_: Any, **__: Any) -> None:
        pass

    def log(self, row: dict[str, Any]) -> None:
        self.units.append(row["unit"])


@pytest.mark.parametrize(("known", "logged"), [(None, [0, 1, 2, 3, 4, 4]), (2, [3, 4, 4]), (9, [])])
def test_wandb_online_is_told_what_it_lacks(
    known: int | None, logged: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = pytest.importorskip("wandb")
    run = Resumed(known)
    monkeypatch.setattr(wandb, "init", lambda **_: run)
    (listener,) = wandb_logger(mode="online").listeners()
    listener.started(info_of(tmp_path, first_unit=4, earlier=list(records())[:6]))
    assert run.units == logged


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
    (listener,) = tensorboard_logger().listeners()  # again, as if killed after the second unit: it has everything once
    listener.started(info._replace(first_unit=2, earlier=list(records())[:3]))
    for record in list(records())[3:]:
        listener.record(record)
    listener.finished(stored(info))
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

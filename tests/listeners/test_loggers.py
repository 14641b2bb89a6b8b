"""Loggers of a run: a failure of one loses nothing; their packages; csv and TensorBoard read back."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from metacl_run.config.components import fill
from metacl_run.config.compose import experiment_of
from metacl_run.core.errors import ConfigError
from metacl_run.listeners.csv_listener import CsvLogger
from metacl_run.listeners.fault_tolerant import listeners_of
from metacl_run.listeners.tensorboard_listener import TensorBoardLogger
from metacl_run.storage.listener import Listener, Logger, RunInfo
from metacl_run.storage.stored_run import StoredRun
from tests.support.listeners import info_of, play, records, stored

# ------------------------------------------------------------------------------------------------------------- fault tolerance


@dataclass(frozen=True, kw_only=True)
class Fragile(Logger):
    """Fails in the method `where`, and counts the calls."""

    where: str
    calls: list[str]

    def listener(self) -> Listener:
        return FragileListener(self)


class FragileListener(Listener):
    def __init__(self, logger: Fragile) -> None:
        self._logger = logger
        self._call("made")

    def started(self, info: RunInfo) -> None:
        self._call("started")

    def record(self, record: dict[str, Any]) -> None:
        self._call("record")

    def finished(self, run: StoredRun) -> None:
        self._call("finished")

    def _call(self, name: str) -> None:
        self._logger.calls.append(name)
        if name == self._logger.where:
            raise ConnectionError("network is down")


@pytest.mark.parametrize("where", ["made", "started", "record", "finished"])
def test_a_logger_that_fails_is_named_once_and_left_out(where: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fragile, sound = Fragile(where=where, calls=[]), Fragile(where="", calls=[])
    with caplog.at_level(logging.WARNING, logger="metacl_run"):
        for listener in listeners_of({"fragile": fragile, "sound": sound}):
            play(listener, info_of(tmp_path))
    assert fragile.calls.count(where) == 1
    assert fragile.calls[-1] == where
    assert sound.calls == ["made", "started", *["record"] * len(list(records())), "finished"]
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("logger=fragile failed and is left out")
    assert "network is down" in message


def test_a_component_that_is_no_logger_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"logger\.mine\._target_: str is not a Logger"):
        listeners_of({"mine": "x"})  # type: ignore[dict-item]


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_missing_package_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metacl_run.listeners.run_description.find_spec", lambda package: None)
    extra = r"wandb$" if name == "wandb" else rf"'metacl-run\[{name}\]'$"
    with pytest.raises(ConfigError, match=rf"^logger={name}: needs the package {name}: pip install {extra}"):
        experiment_of([f"logger={name}"])


# ------------------------------------------------------------------------------------------------------------------------- csv


def test_csv_has_every_number_once_however_the_run_was_cut(tmp_path: Path) -> None:
    def lines(folder: Path) -> list[dict[str, str]]:
        with open(folder / "metrics.csv", newline="") as file:
            return list(csv.DictReader(file))

    everything = list(records())
    play(CsvLogger().listener(), info_of(tmp_path / "whole"))
    killed, info = CsvLogger().listener(), info_of(tmp_path / "cut")
    killed.started(info)
    for record in everything[:5]:
        killed.record(record)
    assert len(lines(info.directory)) == 4 + 4 * 4  # an evaluation of 2 tasks, 4 losses and accuracies, for 2 seeds
    continued = CsvLogger().listener()
    continued.started(info._replace(first_unit=2, earlier=everything[:3]))
    for record in everything[3:]:
        continued.record(record)
    continued.finished(stored(info))
    assert lines(info.directory) == lines(tmp_path / "whole")
    table = {tuple(line.values())[:5]: line["value"] for line in lines(info.directory)}
    assert len(table) == len(lines(info.directory))
    assert table["4", "2", "eval", "7", "accuracy"] == "0.2"
    assert table["8", "1", "eval", "3", "accuracy"] == "0.6"
    assert table["8", "2", "train", "7", "loss"] == "0.25"
    assert table["5", "2", "train", "3", "loss"] == ""
    assert table["8", "", "summary", "3", "accuracy"] == "0.7"


# ----------------------------------------------------------------------------------------------------------------- TensorBoard


def tensorboard_logger() -> TensorBoardLogger:
    return fill(TensorBoardLogger, {"flush_s": 30, "figures": True}, "logger.tensorboard")


def test_tensorboard_reads_back(tmp_path: Path, make_picture: Callable[[Path], None]) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    info = info_of(tmp_path)
    make_picture(tmp_path / "figures" / "forgetting.png")
    play(tensorboard_logger().listener(), info)
    listener = tensorboard_logger().listener()  # again, as if killed after the second unit: it has everything once
    listener.started(info._replace(first_unit=2, earlier=list(records())[:3]))
    for record in list(records())[3:]:
        listener.record(record)
    listener.finished(stored(info))
    events = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    task = [(event.step, event.value) for event in events.Scalars("eval/task_01_Hebrew_old")]
    assert task == [(0, pytest.approx(0.2)), (4, pytest.approx(0.85)), (8, pytest.approx(0.65))]
    assert [event.step for event in events.Scalars("seed_3/train/loss")] == list(range(1, 9))
    assert events.Scalars("summary/accuracy")[0].value == pytest.approx(0.75)
    assert events.Tags()["images"] == ["figures/forgetting"]
    plugin = {
        name: HParamsPluginData.FromString(events.SummaryMetadata(f"_hparams_/{name}").plugin_data.content)
        for name in ("experiment", "session_start_info")
    }
    settings = plugin["session_start_info"].session_start_info.hparams
    assert (settings["algo"].string_value, settings["algo.inner_lr"].number_value) == ("maml", 0.4)
    assert [metric.name.tag for metric in plugin["experiment"].experiment.metric_infos] == ["summary/accuracy"]


def test_tensorboard_numbers_tasks_that_differ_between_seeds(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    play(tensorboard_logger().listener(), info_of(tmp_path, task_names=[["a", "b"], ["b", "a"]]))
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert {"eval/task_01", "eval/task_02"} <= set(events.Tags()["scalars"])


@pytest.fixture
def make_picture() -> Callable[[Path], None]:
    from PIL import Image

    def make(path: Path) -> None:
        path.parent.mkdir()
        Image.new("RGB", (8, 8)).save(path)

    return make

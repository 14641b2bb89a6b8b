"""What is shown of a run under `meta_continual` while it lasts, and its curves for TensorBoard and W&B."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console as Terminal

from metacl_run.listeners.console import Console
from metacl_run.listeners.scalars import meta_test_curves, scalars
from metacl_run.listeners.tensorboard_listener import TensorBoardLogger
from metacl_run.listeners.wandb_listener import WandbListener, WandbLogger
from metacl_run.storage.listener import RunInfo
from metacl_run.storage.stored_run import StoredRun
from tests.support.listeners import info_of

SUMMARY: dict[str, Any] = {
    "metrics": {"accuracy": {"mean": 0.5, "std": None}},
    "status": "completed",
    "timing": {},
    "meta_test": {
        "lengths": [10, 50],
        "accuracy": [[[0.8, 0.6], [0.5, 0.3]], [[0.9, 0.7], [0.6, 0.4]]],
        "memory": [[[1.0, 1.0], [0.8, 0.8]], [[1.0, 1.0], [0.9, 0.9]]],
        "joint": None,
        "score": "accuracy",
    },
}


def ended(directory: Path) -> StoredRun:
    (directory / "summary.json").write_text(json.dumps({"schema": 1, "config": {}, "protocol": "meta_continual", **SUMMARY}))
    return StoredRun(directory)


def info_in_sequence(directory: Path, updates: int = 2000, **changes: Any) -> RunInfo:
    names = [["meta-training"]] * 2
    return info_of(
        directory,
        protocol="meta_continual",
        protocol_kind="meta_continual",
        task_names=names,
        units_per_task=updates,
        **changes,
    )


def records(updates: int = 2000, steps: int = 4) -> Iterator[dict[str, Any]]:
    """A unit takes 10 ms and is recorded every hundred; a probe at 400; then two kinds of steps of 5 s each."""
    for unit in range(100, updates + 1, 100):
        yield {"kind": "train", "unit": unit, "task": 0, "wall_s": unit / 100, "metrics": {"loss": [1.0, 3.0]}}
        if unit == 400:
            scores = {"accuracy": [0.40, 0.42], "memory": [0.65, 0.67]}
            yield {"kind": "probe", "unit": unit, "task": 0, "wall_s": 4.0, "length": 20, **scores}
    for done in range(1, steps + 1):
        text = "choosing the rate on meta-train classes" if done <= 2 else "learning 600 classes"
        head = {"kind": "meta_test_progress", "unit": updates, "task": 0, "wall_s": updates / 100 + 5.0 * done}
        yield {**head, "done": done, "of": steps, "text": text}


def lines(directory: Path, **settings: Any) -> list[str]:
    out = io.StringIO()
    with Console("plain", Terminal(file=out, width=80)) as console:
        console.started(info_in_sequence(directory, settings.get("updates", 2000)))
        for record in records(**settings):
            console.record(record)
    return [line[len("12:34:56  ") :] for line in out.getvalue().splitlines()]


def test_plain_lines_of_meta_training_and_meta_test(tmp_path: Path) -> None:
    said = lines(tmp_path)
    head = "maml, conv4, split_glyphs, seeds 3 7: "
    assert said[0] == f"{head}2000 meta-updates, then a meta-test on sequences of unseen classes"
    assert "meta-training, meta-update 100/2000: loss 2, - left" in said
    assert "after 400/2000 meta-updates: 20 unseen classes in sequence: accuracy 0.41 (memory 0.66)" in said
    assert "meta-training, meta-update 1400/2000: loss 2, 0:06 left" in said  # at 14 s, ten after the probe
    assert said[-3:] == [
        "meta-test 1/4: choosing the rate on meta-train classes, - left",
        "meta-test 3/4: learning 600 classes, 0:05 left",
        "meta-test 4/4: learning 600 classes, 0:00 left",
    ]
    assert not any("nan" in line or "task" in line for line in said)


def test_progress_of_a_long_step_comes_at_most_every_ten_seconds(tmp_path: Path) -> None:
    said = [line for line in lines(tmp_path, steps=40) if line.startswith("meta-test")]
    assert len(said) == 21  # the first, then every second of 5 s steps (the new kind of step among them), and the last


def test_a_learner_without_meta_training(tmp_path: Path) -> None:
    said = lines(tmp_path, updates=0)
    assert said[0].endswith("0 meta-updates, then a meta-test on sequences of unseen classes")
    assert len(said) == 2 + 3


@pytest.mark.parametrize("updates", [0, 2000])
def test_live_display(tmp_path: Path, updates: int) -> None:
    def seen_after(*shown: dict[str, Any]) -> str:
        out = io.StringIO()
        terminal = Terminal(file=out, force_terminal=True, width=100, height=30, legacy_windows=False, color_system=None)
        with Console("rich", terminal) as console:
            console.started(info_in_sequence(tmp_path, updates))
            for record in shown:
                console.record(record)
        return out.getvalue()

    everything = list(records(updates))
    text = seen_after(*everything)
    assert "4/4 of the meta-test" in text
    assert "learning 600 classes" in text
    if updates:
        text = seen_after(*everything[:6])
        assert "500/2000 meta-updates" in text
        assert "meta-training" in text
        assert "20 unseen classes in sequence: accuracy 0.41 (memory 0.66)" in text
    else:
        assert "0/0 meta-updates" in seen_after()


def test_a_continued_run_shows_what_stood(tmp_path: Path) -> None:
    out = io.StringIO()
    stood = [record for record in records() if record["kind"] == "train" or record["kind"] == "probe"][:8]
    with Console("plain", Terminal(file=out, width=80)) as console:
        console.started(info_in_sequence(tmp_path, first_unit=700, earlier=stood))
    assert "continuing after meta-update 700/2000" in out.getvalue()


# ------------------------------------------------------------------------------------------------------------- scalars


def test_scalars_of_a_probe() -> None:
    probe = next(record for record in records() if record["kind"] == "probe")
    named = scalars(probe, [3, 7], "accuracy")
    assert named["probe/accuracy"] == pytest.approx(0.41)
    assert named["seed_7/probe/memory"] == 0.67
    assert scalars(list(records())[-1], [3, 7], "accuracy") == {}


def test_an_error_goes_by_its_name() -> None:
    probe = {"kind": "probe", "unit": 4, "task": 0, "wall_s": 1.0, "length": 2, "mse": [3.0], "memory": [2.5]}
    assert scalars(probe, [3], "mse") == {"probe/mse": 3.0, "probe/memory": 2.5}
    content = {"score": "mse", "lengths": [2], "mse": [[[3.0, 5.0]]], "memory": [[[2.0, 2.0]]], "joint": None}
    assert meta_test_curves({"score": "mse", "meta_test": content}, [3]) == {2: {"meta_test/mse": 4.0, "meta_test/memory": 2.0}}


def test_curves_of_the_meta_test_are_against_classes() -> None:
    curves = meta_test_curves(SUMMARY, [3, 7])
    assert list(curves) == [10, 50]
    assert curves[50]["meta_test/accuracy"] == pytest.approx(0.45)
    assert curves[10]["seed_7/meta_test/accuracy"] == pytest.approx(0.8)
    assert not any("joint" in name for name in curves[10])
    assert meta_test_curves({"meta_test": None}, [3]) == meta_test_curves({}, [3]) == {}


def test_tensorboard_has_the_curves(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    listener = TensorBoardLogger(flush_s=30, figures=False).listener()
    listener.started(info_in_sequence(tmp_path))
    for record in records():
        listener.record(record)
    listener.finished(ended(tmp_path))
    events = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    found = [(event.step, event.value) for event in events.Scalars("meta_test/accuracy")]
    assert found == [(10, pytest.approx(0.75)), (50, pytest.approx(0.45))]
    assert [event.step for event in events.Scalars("probe/accuracy")] == [400]


class Recorder:
    """Stands for a W&B run."""

    offline, sync_dir = False, "wandb"

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.axes: dict[str, str] = {}
        self.summary: dict[str, Any] = {}

    def define_metric(self, name: str, step_metric: str) -> None:
        self.axes[name] = step_metric

    def log(self, row: dict[str, Any]) -> None:
        self.rows.append(row)

    def log_artifact(self, artifact: Any) -> None:
        pass

    def finish(self, exit_code: int) -> None:
        pass


def test_wandb_has_the_curves_on_an_axis_of_their_own(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    settings = {"mode": "offline", "project": "p", "entity": None, "group": None, "name": None, "checkpoint_mb": 0}
    listener = WandbListener(WandbLogger(**settings))  # type: ignore[arg-type]
    run = Recorder()
    listener._run, listener._info = run, info_in_sequence(tmp_path)
    listener.finished(ended(tmp_path))
    assert [row["meta_test/classes"] for row in run.rows] == [10, 50]
    assert run.rows[1]["meta_test/memory"] == pytest.approx(0.85)
    assert set(run.axes.values()) == {"meta_test/classes"}
    assert np.isfinite(list(run.rows[0].values())).all()

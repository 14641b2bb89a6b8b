"""A short run as a listener hears of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from metacl_run.storage.listener import Listener, RunInfo
from metacl_run.storage.stored_run import StoredRun

UNITS = 4


TASKS = 2


SEEDS = [3, 7]


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
        without_effect=["output_dir"],
        environment={"git_commit": "c0ffee+"},
        tags=[],
        group=None,
        first_unit=0,
        say=lambda text: None,
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
        "schema": 1,
        "status": "completed",
        **identity,
        "metrics": {"accuracy": accuracy},
        "timing": {"wall_s": 8.5, "units": UNITS * TASKS},
        "task_names": info.task_names,
        "units_per_task": UNITS,
        "unit_name": info.unit_name,
    }


def stored(info: RunInfo, **changes: Any) -> StoredRun:
    """The run that has ended, with `changes` in its summary."""
    summary = {**summary_of(info), **changes}
    (info.directory / "summary.json").write_text(json.dumps(summary))
    (info.directory / "config.yaml").write_text("data: {ways: 5}\n")
    rows = [[[0.2, 0.2], first, last] for first, last in zip([[0.8, 0.2], [0.9, 0.2]], LAST, strict=True)]
    np.save(info.directory / "accuracy_matrix.npy", np.array(rows))
    return StoredRun(info.directory)


def play(listener: Listener, info: RunInfo) -> None:
    listener.started(info)
    for record in records():
        listener.record(record)
    listener.finished(stored(info))

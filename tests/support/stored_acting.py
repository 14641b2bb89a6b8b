"""What some runs leave beside the rest, in directories made from formulas: paths, recovery after a switch, vectors of tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from metacl_run.storage.stored_run import StoredRun

WINDOW = 16
"""Transitions that a learner adapts to."""
BEFORE = 0.6


def moment(successes: list[bool], *, lost: bool = False) -> dict[str, Any]:
    """Paths of a hand that goes right, a puck that goes up with it, and a goal that stays."""
    steps = np.linspace(0, 1, 4)
    points = np.zeros((len(successes), 4, 3, 2))
    points[:, :, 0, 0], points[:, :, 1, 1], points[:, :, 2] = steps, steps, 0.5
    values = points.tolist()
    if lost:
        values[0][3][0] = [None, None]
    return {"points": values, "successes": successes}


def with_paths(directory: Path) -> StoredRun:
    """Adds paths to a run, of tasks that are forgotten but for the last."""
    names = json.loads((directory / "summary.json").read_text())["task_names"][0]
    content = [
        {
            "task": task,
            "things": ["hand", "puck", "target"],
            "right_after_learning": moment([True, True]),
            "at_the_end": moment([task == len(names) - 1, False], lost=True),
        }
        for task in range(len(names))
    ]
    (directory / "rollouts.json").write_text(json.dumps({"seed": 0, "tasks": content}))
    return StoredRun(directory)


RETURNS = {"random": -3.0, "before": -2.0, "after": -1.0}


def with_recovery(directory: Path) -> StoredRun:
    """Adds what a run of dynamics has beside the rest to one scored by an error: a recovery that falls in a straight line from
    .9, where that before adaptation is .6; an open-loop error that grows by .1 a step, twice as fast before; `RETURNS`."""
    path = directory / "summary.json"
    summary = json.loads(path.read_text())
    replicates = len(summary["seeds"])
    curve = np.linspace(0.9, 0.1, WINDOW + 1) + 0.01 * np.arange(replicates)[:, None]
    summary["recovery"] = {"curve": curve.tolist()}
    summary["metrics"]["before_mse"] = {**summary["metrics"]["mse"], "values": [BEFORE] * replicates, "mean": BEFORE}
    steps = 0.1 * np.arange(1, 9) + 0.01 * np.arange(replicates)[:, None]
    summary["open_loop"] = {"before": (2 * steps).tolist(), "after": steps.tolist()}
    by_task = 0.5 * np.arange(len(summary["task_names"][0])) + 0.1 * np.arange(replicates)[:, None]
    summary["control"] = {controller: (value + by_task).tolist() for controller, value in RETURNS.items()}
    path.write_text(json.dumps(summary))
    return StoredRun(directory)


def with_task_vectors(directory: Path) -> StoredRun:
    """Adds vectors of tasks: four episodes of every task around a point of its own."""
    path = directory / "summary.json"
    summary = json.loads(path.read_text())
    tasks, seeds = len(summary["task_names"][0]), len(summary["seeds"])
    around = np.array([[0.5, 0.0], [-0.5, 0.0], [0.0, 0.5], [0.0, -0.5]])
    middles = np.stack([np.arange(tasks), np.arange(tasks) % 2], -1)
    points = np.broadcast_to(middles[:, None] + around, (seeds, tasks, 4, 2))
    between = [0.25 if tasks > 1 else None] * seeds
    summary["task_vectors"] = {"size": 5, "points": points.tolist(), "shown": [0.9] * seeds, "between": between}
    path.write_text(json.dumps(summary))
    return StoredRun(directory)

"""Run directories made from formulas, so that tests know what must be in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from metacl_run.scoring.matrix_metrics import summarise
from metacl_run.scoring.scores import SCORES

UNITS = 40


PROBE_EVERY = 8


CHANCE = 0.2


def accuracy_at(unit: int, tasks: int, replicates: int, forget: float) -> np.ndarray:
    """[R, T]: rises towards .9 while a task is learned, sinks afterwards; a fixed ripple for each replicate."""
    progress = unit / UNITS - np.arange(tasks)  # in tasks since each began
    risen = CHANCE + 0.7 * (1 - np.exp(-4 * np.clip(progress, 0, 1)))
    sunk = risen - forget * np.clip(progress - 1, 0, None) ** 0.7
    ripple = 0.02 * np.sin(7.0 * np.arange(replicates)[:, None] + 2.0 * np.arange(tasks) + unit)
    return np.clip(sunk + ripple, 0, 1)


def build_run(
    directory: Path,
    *,
    tasks: int = 3,
    replicates: int = 1,
    status: str = "completed",
    stop: int | None = None,
    forget: float = 0.08,
    names: list[list[str]] | None = None,
    error: str | None = None,
    score: str = "accuracy",
) -> Path:
    """Writes a run that ended after `stop` units (None: all of them; -1: before the first evaluation).

    A mean squared error is five times what an accuracy lacks to 1.
    """
    total = tasks * UNITS
    stop = total if stop is None else stop
    seeds = list(range(replicates))
    names = names or [[f"glyphs {task + 1}" for task in range(tasks)]] * replicates
    matrix = np.full((replicates, tasks + 1, tasks), np.nan)
    records: list[dict[str, Any]] = []
    for unit in range(stop + 1):
        task = max(0, (unit - 1) // UNITS)
        if unit:
            loss = 1.6 * np.exp(-((unit - 1) % UNITS) / 10) + 0.2 + 0.1 * np.cos(unit + np.arange(replicates))
            metrics = {"loss": loss.tolist(), score: (1 - loss / 3 if score == "accuracy" else loss).tolist()}
            if status == "diverged" and unit == stop:
                metrics["loss"] = [None] * replicates
            records.append({"kind": "train", "unit": unit, "task": task, "wall_s": unit / 10, "metrics": metrics})
        if unit % PROBE_EVERY == 0:
            row = unit // UNITS if unit % UNITS == 0 else None
            values = accuracy_at(unit, tasks, replicates, forget)
            values = values if score == "accuracy" else 5 * (1 - values)
            if row is not None:
                matrix[:, row] = values
            record = {"kind": "eval", "unit": unit, "task": task, "row": row, "wall_s": unit / 10}
            records.append({**record, score: values.tolist()})
    evaluations = [record for record in records if record["kind"] == "eval"]
    probes = np.array([record[score] for record in evaluations])
    probe_tasks = [record["task"] for record in evaluations]
    summary = {
        "schema": 1,
        "status": status,
        "run_id": "0123456789ab",
        "algo": "maml",
        "model": "conv4",
        "data": "split_glyphs",
        "protocol": "continual_meta",
        "seeds": seeds,
        "score": score,
        "metrics": summarise(matrix, probes, probe_tasks, SCORES[score]),
        "timing": {"wall_s": stop / 10, "units_per_s": 10.0},
        "peak_memory_mb": 412.5,
        "environment": {"python": "3.11", "torch": "2.13.0", "device": "cpu", "git_commit": None},
        "task_names": names,
        "units_per_task": UNITS,
        "unit_name": "meta-update",
        "warnings": [],
        "error": error,
    }
    ways = {"ways": 5} if score == "accuracy" else {}
    config = {"data": {**ways, "shots": 1, "name": "<script>alert(1)</script>"}, "algo": {"inner_lr": 0.4}}
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    (directory / "summary.json").write_text(json.dumps(summary))
    (directory / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    np.save(directory / "accuracy_matrix.npy", matrix)
    return directory

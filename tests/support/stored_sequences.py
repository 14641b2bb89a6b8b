"""A run directory as protocol `meta_continual` leaves it, made from formulas so that tests know what must be in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from metacl_run.scoring.intervals import spread
from metacl_run.scoring.matrix_metrics import summarise
from metacl_run.scoring.metric_table import metrics_of
from metacl_run.scoring.scores import ACCURACY

RATES = [0.0001, 0.001, 0.01]
PROBE_LENGTH = 20
ONLY_SEQUENCES = {
    *("sequence_accuracy", "forgetting_curve", "choice_of_rate"),
    *("probes", "representation", "gate_activity"),
}
"""Figures that no run under another protocol has."""


def build_sequences(
    directory: Path,
    *,
    lengths: Sequence[int] = (10, 50, 100, 200),
    replicates: int = 1,
    orders: int = 5,
    updates: int = 400,
    stop: int | None = None,
    status: str = "completed",
    rates: Sequence[float] | None = tuple(RATES),
    tuned_on: str | None = "train",
    joint: bool = True,
    units: int = 96,
    inside: bool = True,
    gate: bool = False,
) -> Path:
    """Writes a run meta-trained for `updates`, or stopped after `stop` of them and never meta-tested."""
    names = [f"classes {first + 1} to {last}" for first, last in pairwise([0, *lengths])]
    matrix = np.full((replicates, len(names) + 1, len(names)), np.nan)
    end = updates if stop is None else stop
    records = list(_records(end, replicates))
    summary: dict[str, Any] = {
        "schema": 1,
        "status": status,
        "run_id": "0123456789ab",
        "algo": "oml",
        "model": "oml",
        "data": "omniglot",
        "protocol": "meta_continual",
        "seeds": list(range(replicates)),
        "metrics": {},
        "timing": {"wall_s": end / 10, "train_s": 10.0, "evaluate_s": 30.0, "insight_s": 0.0},
        "peak_memory_mb": 412.5,
        "environment": {"python": "3.11"},
        "task_names": [names] * replicates,
        "units_per_task": updates,
        "unit_name": "meta-update",
        "warnings": [],
        "error": None,
    }
    if stop is None:
        content = _content(lengths, replicates, orders, rates, tuned_on, joint, units if inside else 0, gate)
        matrix = _matrix(len(names), replicates)
        summary["meta_test"] = content
        scores = {name: np.array(content[name])[:, -1].mean(axis=-1) for name in ("accuracy", "memory")}
        if joint:
            scores["joint_accuracy"] = np.array(content["joint"])[:, -1].mean(axis=-1)
        known = metrics_of(ACCURACY, "meta_continual")
        about_tasks = {name: metric for name, metric in summarise(matrix).items() if name in known}
        summary["metrics"] = about_tasks | {name: spread(values) for name, values in scores.items()}
        steps = [("choosing the rate on meta-train classes", 1), ("learning 200 classes", 2)]
        for text, done in steps:
            progress = {"kind": "meta_test_progress", "unit": end, "task": 0, "wall_s": end / 10 + done}
            records.append({**progress, "done": done, "of": 2, "text": text})
    config = {"data": {"ways": 5, "shots": 1}, "protocol": {"updates": updates, "schedule": list(lengths)}}
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    (directory / "summary.json").write_text(json.dumps(summary))
    (directory / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    np.save(directory / "accuracy_matrix.npy", matrix)
    return directory


def _records(end: int, replicates: int) -> Any:
    seeds = np.arange(replicates)
    for unit in range(10, end + 1, 10):
        head = {"unit": unit, "task": 0, "wall_s": unit / 10}
        loss = 3.0 * np.exp(-unit / 150) + 0.2 + 0.1 * np.cos(unit + seeds)
        yield {"kind": "train", **head, "metrics": {"loss": loss.tolist(), "accuracy": (1 - loss / 4).tolist()}}
        if unit % 100 == 0:
            held_out = 0.7 - 0.5 * np.exp(-unit / 200) + 0.01 * seeds
            scores = {"accuracy": held_out.tolist(), "memory": (held_out + 0.2).tolist()}
            yield {"kind": "probe", **head, "length": PROBE_LENGTH, **scores}


def _matrix(segments: int, replicates: int) -> np.ndarray:
    """[R, S + 1, S]: 0 before a segment is learned, .9 right after, .05 less with each that follows."""
    after = np.arange(-1, segments)[:, None] - np.arange(segments)
    return np.stack([np.where(after >= 0, 0.9 - 0.05 * after - 0.01 * replicate, 0.0) for replicate in range(replicates)])


def _content(
    lengths: Sequence[int],
    replicates: int,
    orders: int,
    rates: Sequence[float] | None,
    tuned_on: str | None,
    joint: bool,
    units: int,
    gate: bool,
) -> dict[str, Any]:
    generator = np.random.default_rng(3)
    sizes, longest = np.array(lengths), lengths[-1]
    shape = (replicates, len(sizes), orders)
    held_out = np.clip(0.9 - 0.12 * np.log10(sizes)[:, None] + 0.02 * generator.standard_normal(shape), 0, 1)
    memory = np.clip(1.0 - 0.03 * np.log10(sizes)[:, None] + 0.01 * generator.standard_normal(shape), 0, 1)
    age = longest - 1 - np.arange(longest)
    place = np.clip(0.9 - 0.3 * (age / longest) ** 0.5 + 0.05 * generator.standard_normal((replicates, longest)), 0, 1)
    content: dict[str, Any] = {
        "lengths": list(lengths),
        "rates": None if rates is None else list(rates),
        "tuned_on": tuned_on,
        "chosen": None,
        "selection": None,
        "accuracy": held_out.tolist(),
        "memory": memory.tolist(),
        "joint": (held_out[..., :2] + 0.08).tolist() if joint else None,
        "untrained": {"accuracy": (0.6 * held_out).tolist(), "memory": memory.tolist()},
        "by_place": {"accuracy": place.tolist(), "memory": np.clip(place + 0.15, 0, 1).tolist()},
        "representation": None,
        "gate": None,
        "score": "accuracy",
    }
    if rates is not None:
        best = np.log10(rates)[min(1, len(rates) - 1)] - 0.4 * np.log10(sizes / sizes[0])[:, None]
        selection = 0.8 - 0.15 * (np.log10(rates) - best) ** 2 + 0.01 * np.arange(replicates)[:, None, None]
        content["chosen"] = np.array(rates)[selection.argmax(axis=-1)].tolist()
        content["selection"] = np.clip(selection, 0, 1).tolist() if tuned_on else None
    if units:
        activity = np.maximum(0, generator.standard_normal((replicates, 40, units)) - 1.2)
        activity[..., : units // 12] = 0
        content["representation"] = {
            "active": (activity > 0).mean(axis=(1, 2)).tolist(),
            "dead": (activity == 0).all(axis=1).mean(axis=1).tolist(),
            "mean": activity.mean(axis=1).tolist(),
            "examples": activity[:, :8].tolist(),
        }
    if gate:
        preference = 2 * generator.standard_normal(units or 96) + generator.standard_normal((replicates, 20, units or 96))
        content["gate"] = {"activity": (1 / (1 + np.exp(-preference))).tolist()}
    return content

"""Run directories with numbers that a test chooses."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metacl_run.scoring.matrix_metrics import summarise
from metacl_run.scoring.scores import SCORES

CONFIG: dict[str, Any] = {
    "insight": "none",
    "output_dir": "runs",
    "rerun": False,
    "progress": "none",
    "logger": {"_target_": "none"},
    "gpu": {"engine": "auto"},
    "algo": {"_target_": "m.Maml", "inner_lr": 0.4, "replay": 0},
    "model": {"_target_": "m.Conv4", "channels": 32},
    "data": {"_target_": "m.Glyphs", "shots": 1, "shift": "none", "root": "./data"},
    "protocol": {"_target_": "m.ContinualMeta", "updates_per_task": 120, "eval_split": "test", "log_every": 10},
}
SILENT = ["logger", "output_dir", "rerun", "progress", "data.root"]


def write_run(
    directory: Path,
    matrix: np.ndarray,
    *,
    algo: str = "maml",
    model: str = "conv4",
    seeds: Sequence[int] = (0,),
    score: str = "accuracy",
    status: str = "completed",
    **changed: Any,
) -> Path:
    """A run with the matrix [seeds, T + 1, T]; `changed`: settings by full keys with "__" for the dot."""
    config = copy.deepcopy(CONFIG) | {"seeds": list(seeds)}
    for key, value in changed.items():
        group, _, name = key.partition("__")
        if name:
            config[group][name] = value
        else:
            config[group] = value
    summary = {
        "schema": 1,
        "status": status,
        "run_id": directory.name,
        "algo": algo,
        "model": model,
        "data": "split_glyphs",
        "protocol": "continual_meta",
        "seeds": list(seeds),
        "score": score,
        "config": config,
        "without_effect": SILENT,
        "metrics": summarise(matrix, objective=SCORES[score]),
        "task_names": [[f"glyphs {task + 1}" for task in range(matrix.shape[2])] for _ in seeds],
        "error": None,
    }
    directory.mkdir(parents=True)
    (directory / "summary.json").write_text(json.dumps(summary))
    np.save(directory / "accuracy_matrix.npy", matrix)
    return directory


def matrices(level: float, seeds: Sequence[int], tasks: int = 3) -> np.ndarray:
    """[seeds, tasks + 1, tasks]: around `level`, every seed and entry with an offset of its own."""
    entries = np.arange((tasks + 1) * tasks).reshape(tasks + 1, tasks)
    return np.stack([level + 0.05 * np.sin(3.0 * seed + 1.7 * entries) for seed in seeds])


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    """run("name", .7, algo="er", seeds=[0, 1], ...) writes tmp_path/runs/name."""

    def make(name: str, level: float, *, seeds: Sequence[int] = (0,), tasks: int = 3, **settings: Any) -> Path:
        return write_run(tmp_path / "runs" / name, matrices(level, seeds, tasks), seeds=seeds, **settings)

    return make

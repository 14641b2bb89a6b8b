"""Writes run directories with made-up numbers, to time metacl-report on many: python scripts/make_runs.py DIR [10000].

They look like runs of split_glyphs: five algorithms, four shifts, several sizes of memory, five seeds in separate runs.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
from pathlib import Path

import numpy as np

from metacl_run.config.compose import compose_job
from metacl_run.config.load import load
from metacl_run.scoring.matrix_metrics import summarise
from metacl_run.storage.run_files import SCHEMA

ALGORITHMS = ("maml", "fomaml", "anil", "reptile", "protonet")
SHIFTS = ("none", "rotate", "permute", "invert")
SEEDS = 5


def make(folder: Path, count: int) -> None:
    per_algorithm = max(1, count // (len(ALGORITHMS) * len(SHIFTS) * SEEDS))
    kinds = itertools.product(ALGORITHMS, SHIFTS, range(per_algorithm), range(SEEDS))
    bases = {}
    for algo, shift, memory, seed in itertools.islice(kinds, count):
        if (algo, shift) not in bases:
            overrides = [f"algo={algo}", f"data.shift={shift}", "algo.replay=0"]
            base = load(*compose_job(overrides), overrides)
            bases[algo, shift] = base, base.to_yaml()
        base, text = bases[algo, shift]
        config = json.loads(json.dumps(base.resolved))
        config["algo"]["replay"], config["seeds"] = memory, [seed]
        run_id = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:12]
        matrix = _matrix(len(ALGORITHMS) * memory + ALGORITHMS.index(algo), seed, config["data"]["num_tasks"])
        directory = folder / base.choices["data"] / algo / run_id
        (directory / "figures").mkdir(parents=True, exist_ok=True)
        summary = {
            "schema": SCHEMA,
            "status": "completed",
            "run_id": run_id,
            **{group: base.choices[group] for group in ("algo", "model", "data", "protocol")},
            "seeds": [seed],
            "score": "accuracy",
            "command": "made up",
            "config": config,
            "without_effect": base.ignored_by_run_id,
            "metrics": summarise(matrix),
            "task_names": [[f"task {task + 1}" for task in range(matrix.shape[2])]],
            "warnings": [],
            "error": None,
        }
        (directory / "summary.json").write_text(json.dumps(summary, indent=2))
        (directory / "config.yaml").write_text(text)
        np.save(directory / "accuracy_matrix.npy", matrix)


def _matrix(kind: int, seed: int, tasks: int) -> np.ndarray:
    """[1, tasks + 1, tasks]: better with more memory, noisy from seed to seed."""
    draws = np.random.default_rng([kind, seed]).normal(scale=0.03, size=(1, tasks + 1, tasks))
    rows, columns = np.arange(tasks + 1)[:, None], np.arange(tasks)
    learned = np.where(rows > columns, 0.8 - 0.02 * (rows - columns) / (1 + kind / 50), 0.2)
    return np.clip(learned + draws, 0, 1)


if __name__ == "__main__":
    make(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 10_000)

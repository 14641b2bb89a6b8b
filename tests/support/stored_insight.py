"""Records of `insight=full` for a run directory, made from formulas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from metacl_run.storage.stored_run import StoredRun
from tests.support.stored_runs import UNITS


def add(run_dir: Path, *records: dict[str, Any]) -> None:
    with open(run_dir / "metrics.jsonl", "a") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def with_insight(
    run_dir: Path, *, tasks: list[int], layers: int = 3, boundaries: int | None = None, rates: bool = True
) -> StoredRun:
    """Adds the records of a look at every boundary of a run made by `build_run`; the numbers follow from formulas."""
    run = StoredRun(run_dir)
    replicates, count = len(run.seeds), len(tasks)
    names = [f"body.{layer}" for layer in range(layers - 1)] + ["head"]
    for row in range((boundaries or run.num_tasks) + 1):
        record: dict[str, Any] = {"kind": "insight", "unit": row * UNITS, "task": max(0, row - 1), "row": row, "wall_s": 1.0}
        if rates:
            spread = {"mean": 0.2, "low": 0.0, "median": 0.1, "high": 0.3}
            record["rates"] = {
                name: {key: [value + 0.1 * row + r for r in range(replicates)] for key, value in spread.items()}
                for name in names
            }
        if row:
            cosines = [[[1.0 if a == b else cosine(row, r, a, b) for b in tasks] for a in tasks] for r in range(replicates)]
            record["alignment"] = {"tasks": tasks, "on": "the loss", "cosine": cosines}
        if row > 1:
            cka = {
                name: [[0.9 - 0.1 * i - 0.01 * r] * min(row - 1, count) for r in range(replicates)]
                for i, name in enumerate(names)
            }
            record["drift"] = {"tasks": tasks[: row - 1], "on": "samples", "cka": cka}
        add(run_dir, record)
    return StoredRun(run_dir)


def cosine(row: int, replicate: int, a: int, b: int) -> float:
    """Made up: falls with the distance of two tasks; the replicates lie to both sides of it."""
    return round(0.5 - 0.2 * abs(a - b) + 0.01 * row + (0.02 if replicate % 2 else -0.02), 4)

"""A run directory as protocol `osaka` leaves it, made from formulas so that tests know what must be in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from metacl_run.scoring.intervals import spread
from metacl_run.scoring.metric_table import F1, PRECISION, RECALL
from metacl_run.storage.stored_run import StoredRun

STEPS, PRETRAINING, EVERY, VISIT = 60, 10, 20, 6
"""A task stays for `VISIT` steps; every other switch is detected, and the step after it is a false alarm."""


def build_stream(directory: Path, *, domains: list[str], replicates: int = 2, status: str = "completed") -> StoredRun:
    """Writes a run; one that did not complete ended before its last third."""
    moments, last = np.arange(STEPS), STEPS if status == "completed" else 2 * STEPS // 3
    since = np.tile(moments % VISIT, (replicates, 1))
    domain = np.tile(moments // VISIT % len(domains), (replicates, 1)).astype(np.int32)
    is_switch = (since == 0) & (moments > 0)
    detected = (is_switch & (moments // VISIT % 2 == 0)) | (np.roll(is_switch, 1, 1) & (moments // VISIT % 2 == 0))
    score = (1 - 0.8 * np.exp(-since) - 0.05 * domain - 0.01 * np.arange(replicates)[:, None]).astype(np.float32)
    records: list[dict[str, Any]] = []
    for done in range(EVERY, last + 1, EVERY):
        means = [
            [float(own[:done][of[:done] == place].mean()) for place in range(len(domains))]
            for own, of in zip(score, domain, strict=True)
        ]
        so_far = score[:, :done].mean(1).tolist()
        content = {"unit": PRETRAINING + done, "task": len(domains) - 1, "wall_s": done / 10}
        records.append({"kind": "train", **content, "metrics": {"loss": [1 / done] * replicates, "accuracy": so_far}})
        records.append({"kind": "eval", **content, "row": None, "accuracy": means, "ci95": None, "so_far": so_far})
    matrix = np.full((replicates, len(domains) + 1, len(domains)), np.nan)
    metrics: dict[str, Any] = {}
    directory.mkdir(parents=True, exist_ok=True)
    if status == "completed":
        matrix[:, -1] = records[-1]["accuracy"]
        hits, flagged, true = (part.sum(1) for part in (detected & is_switch, detected, is_switch))
        metrics = {
            "accuracy": spread(score.mean(1)),
            PRECISION: spread(hits / flagged),
            RECALL: spread(hits / true),
            F1: spread(2 * hits / (flagged + true)),
        }
        np.savez_compressed(directory / "stream.npz", score=score, detected=detected, is_switch=is_switch, domain=domain)
    summary = {
        "schema": 1,
        "status": status,
        "run_id": "0123456789cd",
        "algo": "continual_maml",
        "model": "conv4_image_small",
        "data": "recurring_glyphs",
        "protocol": "osaka",
        "protocol_kind": "osaka",
        "seeds": list(range(replicates)),
        "score": "accuracy",
        "metrics": metrics,
        "pretraining": PRETRAINING,
        "chance": 0.2,
        "timing": {"wall_s": 12.0, "train_s": 12.0, "units_per_s": 10.0},
        "peak_memory_mb": 412.5,
        "environment": {"python": "3.11", "torch": "2.13.0", "device": "cpu", "git_commit": None},
        "task_names": [domains] * replicates,
        "units_per_task": PRETRAINING + STEPS,
        "unit_name": "step",
        "warnings": [],
        "error": None,
    }
    (directory / "config.yaml").write_text(yaml.safe_dump({"data": {"stay": 0.95}}))
    (directory / "summary.json").write_text(json.dumps(summary))
    (directory / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    np.save(directory / "accuracy_matrix.npy", matrix)
    return StoredRun(directory)

"""Runs every algorithm to its end, under every engine that a card should run it with: does it work at all?"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from gpu_checks.measuring import Results
from metacl_run import experiment
from metacl_run.config.compose import experiment_of
from metacl_run.config.option_files import OptionFiles
from metacl_run.storage.stored_run import StoredRun

PROCESSES = 8
"""Runs at once: they are small, and a card has room for them."""


def run(device: str, out: Path, quick: bool) -> None:
    results = Results(out)
    names = OptionFiles().names("algo")[: 2 if quick else None]
    engines = ("cuda_graph", "vmap") if device == "cuda" else ("vmap",)
    processes = PROCESSES if device == "cuda" else 1
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        runs = {
            f"{algo}, {engine}": pool.submit(_whole_run, [f"algo={algo}", f"gpu.engine={engine}"], device)
            for engine in engines
            for algo in names
        }
        for name, future in runs.items():
            results.attempt(name, future.result)


def _whole_run(overrides: list[str], device: str) -> dict[str, Any]:
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        built = experiment_of([*overrides, "debug=true", f"gpu={device}", "progress=none", f"output_dir={folder}"])
        experiment.run(built)
        summary = StoredRun(built.directory).summary
    score = summary["metrics"].get(summary["score"], {}).get("mean")
    return {
        "status": summary["status"],
        "score": score,
        "s": round(time.perf_counter() - begun, 2),
        "warnings": summary["warnings"],
    }

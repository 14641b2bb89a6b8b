"""Measures jobs in turns: every job in a process of its own, one unit of work per round, the others waiting."""

from __future__ import annotations

import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

PROGRAM = Path(__file__).parents[1] / "benchmark.py"
"""Started with `--worker` it serves one job."""
REFERENCE = "autograd loop"
"""The implementation whose meta-gradients the others are compared with."""


@dataclass
class Job:
    """The work of a worker: a timed unit, the meta-gradient, the FLOP of a row."""

    unit: Callable[[], float]
    """Does one unit and returns its seconds."""
    gradient: Callable[[], list[torch.Tensor]] | None = None
    flops: Callable[[], float] | None = None
    notes: dict[str, Any] = field(default_factory=dict)


def timed(work: Callable[[], object], device: torch.device) -> float:
    if device.type != "cuda":
        begun = time.perf_counter()
        work()
        return time.perf_counter() - begun
    first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize(device)
    first.record()
    work()
    last.record()
    torch.cuda.synchronize(device)
    return first.elapsed_time(last) / 1e3


# -------------------------------------------------------------------------------------------------------- inside a worker


def serve(task: dict[str, Any]) -> None:
    """Serves the parent in a worker: reads a command per line, answers with a line of JSON."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else prints goes to stderr
    device = torch.device(task["device"])
    _set_switches(device, task["threads"])
    job = importlib.import_module(f"benchmarks.{task['module']}").make_job(task, device)
    for line in sys.stdin:
        command, *argument = json.loads(line)
        answer: Any = None
        if command == "unit":
            answer = job.unit()
        elif command == "notes":
            answer = job.notes
        elif command == "flops" and job.flops is not None:
            answer = job.flops()
        elif command == "gradient" and job.gradient is not None:
            torch.save([g.detach().cpu() for g in job.gradient()], argument[0])
        elif command == "peak":
            from metacl_run.runtime.process_memory import peak_memory_mb

            answer = peak_memory_mb(device)
        print(json.dumps(answer), file=answers, flush=True)


def _set_switches(device: torch.device, threads: int) -> None:
    """Sets torch's switches as a run does, for ours and for peers alike."""
    from metacl_run.config.compose import experiment_of

    experiment_of([f"gpu={device.type}", f"gpu.threads={threads}"]).gpu.apply(0)


# --------------------------------------------------------------------------------------------------------- in the parent


class Worker:
    """A process that does one job on command."""

    def __init__(self, task: dict[str, Any]) -> None:
        command = [sys.executable, str(PROGRAM), "--worker", json.dumps(task)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *command: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())
        except (OSError, json.JSONDecodeError):
            raise SystemExit("benchmark: a worker failed; see its message above") from None

    def close(self) -> None:
        self._process.communicate()


@dataclass
class Line:
    """One implementation's result in a row; times in milliseconds."""

    name: str
    is_peer: bool
    times: list[float] = field(default_factory=list)
    peak_mb: float | None = None
    error: float | None = None
    missing: str | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.times)


def error_of(gradients: Path, expected: Path) -> float:
    """Largest error of any parameter's gradient, relative to the largest element of that parameter's gradient."""
    pairs = zip(torch.load(gradients, weights_only=True), torch.load(expected, weights_only=True), strict=True)
    return max(((f - e).abs().max() / e.abs().max()).item() for f, e in pairs)


def measure(tasks: dict[str, dict[str, Any]], lines: dict[str, Line], repeats: int, say: Callable[[str], None]) -> None:
    """Starts a worker for each task, lets each warm up, then takes `repeats` rounds through all of them."""
    workers: dict[str, Worker] = {}
    try:
        for name, task in tasks.items():
            say(f"warming up {name}")
            workers[name] = Worker(task)
            for _ in range(2):
                workers[name].ask("unit")
        for i in range(repeats):
            say(f"round {i + 1} of {repeats}")
            order = list(workers)
            for name in order[i % len(order) :] + order[: i % len(order)]:
                lines[name].times.append(1e3 * workers[name].ask("unit"))
        for name, worker in workers.items():
            lines[name].peak_mb, lines[name].notes = worker.ask("peak"), worker.ask("notes")
        _compare_gradients(tasks, workers, lines, say)
        for name in tasks:
            if "flops" in tasks[name]:
                lines[name].notes["flops"] = workers[name].ask("flops")
    finally:
        for worker in workers.values():
            worker.close()


def _compare_gradients(
    tasks: dict[str, dict[str, Any]], workers: dict[str, Worker], lines: dict[str, Line], say: Callable[[str], None]
) -> None:
    """Fills in the error of every meta-gradient against the reference's, where that has one."""
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder, f"{number}.pt") for number, name in enumerate(workers) if "gradient" in tasks[name]}
        for name, file in files.items():
            say(f"meta-gradient of {name}")
            workers[name].ask("gradient", str(file))
        for name in files.keys() - {REFERENCE} if REFERENCE in files else ():
            lines[name].error = error_of(files[name], files[REFERENCE])


def table_of(result: dict[str, Any]) -> Table:
    table = Table(title=result["title"], title_justify="left", title_style="bold")
    for header in ("implementation", "median", "min - max", "ratio", "peak MB", "error"):
        table.add_column(header, justify="left" if header == "implementation" else "right")
    peers = [line.median for line in result["lines"] if line.is_peer and line.missing is None]
    for line in result["lines"]:
        if line.missing is not None:
            table.add_row(line.name, line.missing)
            continue
        error = "" if line.error is None else f"{line.error:.0e}"
        digits = 0 if min(line.times) >= 20 else 1
        spread = f"{min(line.times):.{digits}f} - {max(line.times):.{digits}f}"
        ratio = f"{min(peers) / line.median:.2f}" if peers else ""
        table.add_row(line.name, f"{line.median:.{digits}f}", spread, ratio, f"{line.peak_mb:.0f}", error)
    return table

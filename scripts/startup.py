"""Measures how long commands take to start, and lists what they import.

    python scripts/startup.py > results/cpu/startup.txt

Wall times of new processes on warm files: median, fastest and slowest of interleaved repeats; for runs, the time to the first
line. The packages of a run are those that are imported until it is computed; its figures are drawn afterwards.
A package's time is that of its own modules (`python -X importtime`).
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ANSWERS = (("--version",), ("--help",), ("list",), ("describe=algo/maml",))
RUNS = (("algo=er",), ("algo=maml",), ("algo=oml",), ("-m", "algo=er,sgd"))
SHORT = ("debug=true", "progress=plain", "gpu.threads=1")
SMALLEST = 5
"""Milliseconds from which a package is listed."""
STEP = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s*(\w+)")
DRAWING = "matplotlib"
"""The package with which drawing begins."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    times: dict[Sequence[str], list[float]] = {words: [] for words in (*ANSWERS, *RUNS)}
    for repeat in range(repeats + 1):
        for words, measured in times.items():
            elapsed = seconds(words)
            if repeat:  # the first one reads the files from disk
                measured.append(elapsed)
    print(f"python scripts/startup.py --repeats {repeats}")
    print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores\n")
    print(f"{'command':<42}{'median s':>9}{'fastest':>9}{'slowest':>9}")
    for words, measured in times.items():
        name = "metacl-run " + " ".join(words) + (", first line" if words in RUNS else "")
        print(f"{name:<42}{statistics.median(measured):>9.2f}{min(measured):>9.2f}{max(measured):>9.2f}")
    for words in times:
        packages, of_drawing = imported(words)
        print(f"\nmetacl-run {' '.join(words)} imports, ms: {listed(packages)}")
        if of_drawing:
            print(f"and to draw its figures: {listed(of_drawing)}")


def seconds(words: Sequence[str]) -> float:
    """Returns how long a command takes; of runs, until its first line."""
    begun = time.perf_counter()
    with started(words) as process:
        assert process.stdout is not None
        if words in RUNS:
            line = process.stdout.readline()
            while line and not line.strip():
                line = process.stdout.readline()
            elapsed = time.perf_counter() - begun
        process.communicate()
        return elapsed if words in RUNS else time.perf_counter() - begun


def imported(words: Sequence[str]) -> tuple[Counter[str], Counter[str]]:
    """Returns the milliseconds of every package, before drawing begins and after it."""
    with started(words, "-X", "importtime") as process:
        errors = process.communicate()[1]
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    for microseconds, package in STEP.findall(errors):
        is_drawing = bool(after) or package == DRAWING
        (after if is_drawing else before)[package] += int(microseconds)
    return before, after


def listed(packages: Counter[str]) -> str:
    """Names the packages that take longest, in milliseconds, and the sum of the others."""
    own = {name: time for name, time in packages.most_common() if name not in sys.stdlib_module_names}
    large = {name: time for name, time in own.items() if time >= SMALLEST * 1000}
    rest = (sum(packages.values()) - sum(large.values())) / 1000
    return ", ".join([*(f"{name} {time / 1000:.0f}" for name, time in large.items()), f"others {rest:.0f}"])


@contextmanager
def started(words: Sequence[str], *options: str) -> Iterator[subprocess.Popen[str]]:
    """A command that has been started in a folder of its own, which is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, *options, "-m", "metacl_run", *words, *(SHORT if words in RUNS else ())]
        environment = {**os.environ, "METACL_RUNS": folder, "PYTHONPATH": str(Path(__file__).parents[1])}
        with subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            yield process


if __name__ == "__main__":
    main()

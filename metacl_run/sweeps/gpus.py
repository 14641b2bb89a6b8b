"""Spreads the jobs of a machine over its GPUs: every job sees one, the one with the fewest jobs when it starts."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import filelock

from metacl_run.core.variables import PLACE_ON_GPU

FOLDER = Path(tempfile.gettempdir()) / f"metacl_run-gpus-{os.getuid() if hasattr(os, 'getuid') else 'all'}"
"""Locks of this machine: GPUs are shared by all sweeps on it, and a lock ends with the process that holds it."""


@contextmanager
def one_gpu(folder: Path = FOLDER) -> Iterator[dict[str, str]]:
    """Yields the environment in which a job sees one GPU and its place there, taken while inside; empty without GPUs."""
    gpus = visible()
    with ExitStack() as locks:
        yield _least_used(gpus, folder, locks) if gpus else {}


def _least_used(gpus: list[str], folder: Path, locks: ExitStack) -> dict[str, str]:
    """Takes the first free place. Every GPU has a first place before any has a second."""
    folder.mkdir(parents=True, exist_ok=True)
    for place in itertools.count():
        for gpu in gpus:
            lock = filelock.FileLock(folder / f"{gpu.replace('/', '-')}.{place}.lock", blocking=False)
            try:
                lock.acquire()
            except filelock.Timeout:
                continue
            locks.callback(lock.release)
            return {"CUDA_VISIBLE_DEVICES": gpu, PLACE_ON_GPU: str(place)}
    raise AssertionError("places are without number")


def visible() -> list[str]:
    """Returns the GPUs that may be used, or their MIG instances, by the names that CUDA_VISIBLE_DEVICES takes.

    Starts no CUDA. As CUDA does, it ignores what follows the first name that is no device.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        names = [name.strip() for name in chosen.split(",")]
        return list(itertools.takewhile(lambda name: name not in ("", "-1"), names))
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False)
    return listed(query.stdout) if query.returncode == 0 else []


def listed(text: str) -> list[str]:
    """Returns the UUIDs that `nvidia-smi -L` prints; of a GPU that is divided into MIG instances those of the instances."""
    by_gpu: list[list[str]] = []
    for line in text.splitlines():
        match = re.search(r"\(UUID: ([\w./-]+)\)", line)
        if match is not None and line.lstrip().startswith("MIG") and by_gpu:
            by_gpu[-1].append(match[1])
        elif match is not None:
            by_gpu.append([match[1]])
    return [name for gpu, *instances in by_gpu for name in instances or [gpu]]

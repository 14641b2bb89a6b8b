"""Spreads the jobs of a machine over its GPUs: every job sees one, the one with the fewest jobs when it starts."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import filelock

FOLDER = Path(tempfile.gettempdir()) / f"metacl_run-gpus-{os.getuid() if hasattr(os, 'getuid') else 'all'}"
"""Locks of this machine: GPUs are shared by all sweeps on it, and a lock ends with the process that holds it."""


@contextmanager
def one_gpu(folder: Path = FOLDER) -> Iterator[dict[str, str]]:
    """Yields the environment in which a job sees one GPU, which is taken while inside; empty where there is no choice."""
    gpus = visible()
    with ExitStack() as locks:
        yield {"CUDA_VISIBLE_DEVICES": _least_used(gpus, folder, locks)} if len(gpus) > 1 else {}


def _least_used(gpus: list[str], folder: Path, locks: ExitStack) -> str:
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
            return gpu
    raise AssertionError("places are without number")


def visible() -> list[str]:
    """Returns the GPUs that may be used, by the names that CUDA_VISIBLE_DEVICES takes. Starts no CUDA."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name for name in chosen.split(",") if name.strip() not in ("", "-1")]
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = subprocess.run([tool, "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True, check=False)
    return query.stdout.split() if query.returncode == 0 else []

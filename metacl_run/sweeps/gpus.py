"""Spreads the jobs of a machine over its GPUs: each job sees one, the one with the fewest jobs when it starts."""

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
"""Locks of this machine: GPUs are shared by all sweeps on it, and a lock goes with the process that holds it."""


@contextmanager
def one_gpu(folder: Path = FOLDER) -> Iterator[dict[str, str]]:
    """The environment in which a job sees one GPU only, taken while inside; empty on a machine without a choice."""
    gpus = visible()
    with ExitStack() as held:
        yield {"CUDA_VISIBLE_DEVICES": _least_used(gpus, folder, held)} if len(gpus) > 1 else {}


def _least_used(gpus: list[str], folder: Path, held: ExitStack) -> str:
    """Takes the first free place, where every GPU has a first place before any has a second."""
    folder.mkdir(parents=True, exist_ok=True)
    for place in itertools.count():
        for gpu in gpus:
            lock = filelock.FileLock(folder / f"{gpu.replace('/', '-')}.{place}.lock", blocking=False)
            try:
                lock.acquire()
            except filelock.Timeout:
                continue
            held.callback(lock.release)
            return gpu
    raise AssertionError("places are without number")


def visible() -> list[str]:
    """The GPUs that may be used, by the names CUDA_VISIBLE_DEVICES takes. Starts no CUDA."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name for name in chosen.split(",") if name.strip() not in ("", "-1")]
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    listed = subprocess.run([tool, "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True, check=False)
    return listed.stdout.split() if listed.returncode == 0 else []

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
from typing import NamedTuple

import filelock

from metacl_run.core.variables import PLACE_ON_GPU

FOLDER = Path(tempfile.gettempdir()) / f"metacl_run-gpus-{os.getuid() if hasattr(os, 'getuid') else 'all'}"
"""Locks of this machine: GPUs are shared by all sweeps on it, and a lock ends with the process that holds it."""


class Card(NamedTuple):
    """A GPU that `nvidia-smi -L` prints."""

    model: str
    uuid: str
    instances: list[str]
    """UUIDs of its MIG instances; none where it is not divided."""

    @property
    def devices(self) -> list[str]:
        return self.instances or [self.uuid]


@contextmanager
def one_gpu(folder: Path = FOLDER) -> Iterator[dict[str, str]]:
    """Yields the environment in which a job sees one GPU and its place there, taken while inside; empty without GPUs."""
    gpus = visible()
    with ExitStack() as locks:
        yield _least_used(gpus, folder, locks) if gpus else {}


def _least_used(gpus: list[str], folder: Path, locks: ExitStack) -> dict[str, str]:
    """Takes the first free place. Every GPU has a first place before any has a second."""
    folder.mkdir(parents=True, exist_ok=True)
    full = full_names(gpus)
    for place in itertools.count():
        for gpu, name in zip(gpus, full, strict=True):
            lock = filelock.FileLock(folder / f"{name.replace('/', '-')}.{place}.lock", blocking=False)
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
    return [device for card in cards() for device in card.devices]


def full_names(gpus: list[str]) -> list[str]:
    """Returns the UUIDs of GPUs that are named by number, UUID or its beginning.

    So sweeps that name one GPU differently know of each other's places.

    A name stays where nothing says what it means: without nvidia-smi, and, of a number, where cards of several models are
    ordered by speed, as CUDA does unless CUDA_DEVICE_ORDER=PCI_BUS_ID, and not as nvidia-smi does.
    """
    there = cards()
    is_ordered = len({card.model for card in there}) == 1 or os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    by_number = {str(number): card.devices[0] for number, card in enumerate(there)} if is_ordered else {}
    by_uuid = {card.uuid: card.devices[0] for card in there} | {name: name for card in there for name in card.instances}
    full = []
    for gpu in gpus:
        fitting = [gpu] if gpu in by_uuid else [uuid for uuid in by_uuid if uuid.startswith(gpu)]
        full.append(by_number.get(gpu, by_uuid[fitting[0]] if len(fitting) == 1 else gpu))
    return full


def cards() -> list[Card]:
    """Returns the machine's GPUs, in the order of their numbers; none without nvidia-smi."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False)
    return listed(query.stdout) if query.returncode == 0 else []


def listed(text: str) -> list[Card]:
    """Reads what `nvidia-smi -L` prints."""
    there: list[Card] = []
    for line in text.splitlines():
        match = re.search(r"^(?:GPU \d+:)?(.*)\(UUID: ([\w./-]+)\)", line)
        if match is not None and line.lstrip().startswith("MIG") and there:
            there[-1].instances.append(match[2])
        elif match is not None:
            there.append(Card(match[1].strip(), match[2], []))
    return there

"""Stored runs, read back without computing anything: how far each is and what its summary says. Loads no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

import filelock

from metacl_run.errors import StorageError

State = Literal["completed", "diverged", "failed", "interrupted", "running", "missing"]
"""How far a run is. "running": some process holds its lock; "interrupted": begun, and the same command goes on with it."""
SUMMARY, CONFIG, METRICS, LOCK = "summary.json", "config.yaml", "metrics.jsonl", ".lock"
SCHEMA = 1
"""Version of summary.json; a reader refuses one it does not know."""


class StoredRun(NamedTuple):
    """A run that has ended, however it ended."""

    directory: Path
    summary: dict[str, Any]


def read(directory: Path) -> StoredRun:
    """The run kept in a directory.

    Raises:
        StorageError: there is no summary, it cannot be read, or another version wrote it.
    """
    path = directory / SUMMARY
    try:
        summary = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise StorageError(f"{directory}: holds no {SUMMARY}: the run has not ended") from None
    except (OSError, ValueError):
        raise StorageError(f"{path}: is truncated or no summary. Give the run's command again to compute it anew") from None
    if not isinstance(summary, dict) or summary.get("schema") != SCHEMA or "status" not in summary:
        found = summary.get("schema") if isinstance(summary, dict) else None
        raise StorageError(f"{path}: was written by another version (schema {found}; this one reads {SCHEMA})")
    return StoredRun(directory, summary)


def state(directory: Path) -> State:
    """How far the run of a directory is."""
    if is_locked(directory):
        return "running"
    try:
        return read(directory).summary["status"]
    except StorageError:
        return "interrupted" if (directory / CONFIG).exists() else "missing"


def is_locked(directory: Path) -> bool:
    """Whether some process is computing the run."""
    if not (directory / LOCK).exists():
        return False
    lock = filelock.FileLock(directory / LOCK, blocking=False)
    try:
        lock.acquire()
    except (filelock.Timeout, OSError):
        return True
    lock.release()
    return False

"""Stored runs, read back without computing anything: how far each is and what its summary says. Loads no torch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from metacl_run.core.errors import OtherVersionError, StorageError
from metacl_run.storage.lock import is_locked

State = Literal["completed", "diverged", "failed", "interrupted", "running", "missing"]
"""How far a run is. "running": some process holds its lock; "interrupted": begun, and the same command goes on with it."""
ENDED = ("completed", "diverged")
"""The states in which nothing is left to compute."""
SUMMARY, CONFIG, METRICS = "summary.json", "config.yaml", "metrics.jsonl"
MATRIX, TRANSDUCTIVE_MATRIX = "accuracy_matrix.npy", "accuracy_matrix_transductive.npy"
SCHEMA = 1
"""Version of summary.json; a reader refuses one it does not know."""
BEGUN = (METRICS, "run.log")
"""What lies beside `CONFIG` in a run that has begun, and in no other folder that happens to hold a config.yaml."""
ALWAYS_SILENT = ("logger", "output_dir", "rerun", "progress", "data.root", "data.download", "protocol.checkpoint_every")
"""What `settings` leaves out of a run whose summary does not say itself what cannot have changed its result."""


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
    if not os.path.exists(path):
        raise StorageError(f"{directory}: holds no {SUMMARY}: the run has not ended")
    try:
        summary = json.loads(path.read_bytes() if path.is_file() else b"")  # to read a named pipe would wait for ever
    except (OSError, ValueError, RecursionError):
        raise StorageError(f"{path}: is truncated or no summary. Give the run's command again to compute it anew") from None
    if not isinstance(summary, dict) or summary.get("schema") != SCHEMA or "status" not in summary:
        found = summary.get("schema") if isinstance(summary, dict) else None
        raise OtherVersionError(
            f"{path}: was written by another version (schema {found}; this one reads {SCHEMA}). Remove the directory to "
            "compute the run here, or choose another output_dir"
        )
    return StoredRun(directory, summary)


def summary_of(directory: Path) -> dict[str, Any] | None:
    """What an earlier process left, or None: it never ended, or its summary cannot be read.

    Raises:
        OtherVersionError: another version left it.
    """
    try:
        return read(directory).summary
    except OtherVersionError:
        raise
    except StorageError:
        return None


def has_ended(summary: dict[str, Any]) -> bool:
    """Whether the run has nothing left to compute."""
    return summary["status"] in ENDED


class Found(NamedTuple):
    """What `find` came upon, both in the order of their paths."""

    runs: list[Path]
    refused: list[str]
    """A message for each folder that could not be looked into."""


def find(paths: Iterable[Path]) -> Found:
    """The run directories at and under `paths`; they are not looked into any further.

    Links to folders are followed, but no folder is visited twice, by whatever way it is reached: a circle ends, and a run that
    is also linked to counts once, under its own path where that lies under `paths` too.

    Raises:
        StorageError: one of `paths` is no folder.
    """
    runs: list[Path] = []
    refused: list[str] = []
    visited: set[tuple[int, int]] = set()
    folders = [str(path) for path in reversed(list(paths))]
    missing = [folder for folder in reversed(folders) if not os.path.isdir(folder)]
    if missing:
        raise StorageError("\n".join(f"{folder}: there is no such folder" for folder in missing))
    links: list[str] = []  # after all that is not linked to
    while folders or links:
        folder = folders.pop() if folders else links.pop()
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as content:
                entries = sorted(content, key=lambda entry: entry.name, reverse=True)
            names = {entry.name for entry in entries}
            if SUMMARY in names or (CONFIG in names and not names.isdisjoint(BEGUN)):
                runs.append(Path(folder))
                continue
            for entry in entries:
                if _is_folder(entry):
                    (links if entry.is_symlink() else folders).append(entry.path)
        except OSError as error:
            refused.append(f"{folder}: cannot be looked into ({error.strerror})")
    return Found(sorted(runs), sorted(refused))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or to where one may not look
        return False


def settings(run: StoredRun) -> dict[str, Any]:
    """The resolved config by full keys, {"algo.inner_lr": .4, "insight": "none", ...}, without what cannot change the result.

    It stands in summary.json, as "config" and "without_effect". A run from before it stood there has it in config.yaml, which
    takes about a thousand times as long to read; `ALWAYS_SILENT` is left out of it.

    Raises:
        StorageError: it stands in neither.
    """
    config = run.summary.get("config")
    path = run.directory / (CONFIG if config is None else SUMMARY)
    if config is None:
        try:
            config = yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except (OSError, ValueError, yaml.YAMLError):
            raise StorageError(f"{path}: is missing or cannot be read, and {SUMMARY} does not hold the config") from None
    if not isinstance(config, dict):
        raise StorageError(f"{path}: is truncated or holds no config")
    silent = set(run.summary.get("without_effect", ALWAYS_SILENT))
    heard = {key: value for key, value in config.items() if key not in silent}
    return {key: value for key, value in _flat(heard).items() if key not in silent}


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found.update(_flat(value, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = value
    return found


def state(directory: Path) -> State:
    """How far the run of a directory is."""
    if is_locked(directory):
        return "running"
    try:
        return read(directory).summary["status"]
    except StorageError:
        return "interrupted" if os.path.exists(directory / CONFIG) else "missing"

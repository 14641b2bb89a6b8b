"""Finds run directories. Loads no torch."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from metacl_run.core.errors import StorageError
from metacl_run.storage.run_files import CONFIG, LOG, METRICS, MLFLOW_ARTIFACTS, SUMMARY

BESIDE_CONFIG = (METRICS, LOG)
"""Files beside `CONFIG` in a run that has begun, and in no other folder that happens to hold a config.yaml."""


DEPTH = 3
"""Folders between an output_dir and the files of its runs: data, algorithm, run id."""


class RunDirectories(NamedTuple):
    """The result of `find_runs`, both in the order of their paths."""

    runs: list[Path]
    refused: list[str]
    """A message for each folder that could not be read."""


def find_runs(paths: Iterable[Path]) -> RunDirectories:
    """Finds the run directories at and under `paths`; folders within a run, and MLflow's copies, are not searched.

    Links to folders are followed, but no folder is visited twice: a circle ends, and a run that is also linked to counts once,
    under its own path where that lies under `paths` too.

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
    links: list[str] = []  # visited last
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
            if SUMMARY in names or (CONFIG in names and not names.isdisjoint(BESIDE_CONFIG)):
                runs.append(Path(folder))
                continue
            for entry in entries:
                if _is_folder(entry) and entry.name != MLFLOW_ARTIFACTS:
                    (links if entry.is_symlink() else folders).append(entry.path)
        except OSError as error:
            refused.append(f"{folder}: cannot be read ({error.strerror})")
    return RunDirectories(sorted(runs), sorted(refused))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or to a place without permission
        return False


def check_is_run(path: Path) -> None:
    """Refuses an output_dir, or a folder within it, where one run is needed. Raises StorageError."""
    if (path / SUMMARY).exists():
        return
    for depth in range(1, DEPTH + 1):
        if run := next(path.glob(f"{'*/' * depth}{SUMMARY}"), None):
            raise StorageError(f"{path}: is no run but a folder of runs. One of them is {run.parent}")

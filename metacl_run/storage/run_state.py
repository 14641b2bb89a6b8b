"""How far the run of a directory is. Computes nothing and loads no torch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

from metacl_run.core.errors import OtherVersionError, StorageError
from metacl_run.core.files import regular_file
from metacl_run.storage.lock import is_locked
from metacl_run.storage.optional_file import read_optional
from metacl_run.storage.run_files import CONFIG, DATA, METRICS, OWN_CODE
from metacl_run.storage.stored_run import StoredRun

READ_FROM_END = 2**20
"""Bytes that are read to find the last record; no record is so long."""
State = Literal["completed", "diverged", "failed", "interrupted", "running", "missing"]
"""How far a run is. "running": some process holds its lock; "interrupted": begun, and the same command continues it."""


def state(directory: Path) -> State:
    """Returns how far the run of a directory is."""
    if is_locked(directory):
        return "running"
    try:
        return cast(State, StoredRun(directory).status)
    except StorageError:
        return "interrupted" if os.path.exists(directory / CONFIG) else "missing"


def units_done(directory: Path) -> int | None:
    """Units of work that a run that has not ended has recorded; None where it has recorded nothing that can be read."""
    path = directory / METRICS
    try:
        regular_file(path)
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - READ_FROM_END))
            whole, _, _ = file.read().rpartition(b"\n")  # a killed run may have written half a record
        return int(json.loads(whole.rpartition(b"\n")[2])["unit"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def changed_modules(directory: Path, now: Mapping[str, str]) -> list[str]:
    """The modules of the user's own components that are not what they were when a run began; none of an older version's run.

    Args:
        directory: of the run.
        now: the source of such modules, by name.

    Raises:
        StorageError: the file with the source is damaged.
    """
    then = _at_its_beginning(directory / OWN_CODE)
    return [] if then is None else sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))


def _at_its_beginning(path: Path) -> dict[str, Any] | None:
    """What a run wrote down when it began; None: an older version's run. Raises StorageError."""
    return read_optional(path, lambda path: dict(json.loads(path.read_text(encoding="utf-8"))))


def changed_data(directory: Path, now: Mapping[str, Any]) -> str | None:
    """What is other in the files of the data than when a run began; None: nothing, or an older version's run.

    Args:
        directory: of the run.
        now: what the files hold, of `Source.contents`.

    Raises:
        StorageError: the file with the contents is damaged.
    """
    then = _at_its_beginning(directory / DATA)
    if then is None or then == now:
        return None
    sizes = [f"{content.get('examples')} examples of {content.get('classes')} classes" for content in (then, dict(now))]
    return f"{sizes[0]}, now {sizes[1]}" if sizes[0] != sizes[1] else f"{sizes[0]}, now others"


def earlier_run(directory: Path) -> StoredRun | None:
    """Returns what an earlier process left; None if it left no summary, or one that cannot be read.

    Raises:
        OtherVersionError: another version wrote the summary.
    """
    run = StoredRun(directory)
    try:
        return run if run.status else None
    except OtherVersionError:
        raise
    except StorageError:
        return None

"""Reads a file that not every run has."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from metacl_run.core.errors import StorageError
from metacl_run.core.files import regular_file
from metacl_run.storage.records import COMPUTE_ANEW

Content = TypeVar("Content")
DAMAGE = (OSError, ValueError, KeyError, TypeError, IndexError, EOFError, RecursionError, zipfile.BadZipFile)
"""What reading a truncated or altered file may raise."""


def read_optional(path: Path, read: Callable[[Path], Content]) -> Content | None:
    """Returns what a file says; None where there is none, as in a run of an older version.

    Raises:
        StorageError: the file is truncated, damaged or no regular file.
    """
    if not path.exists():
        return None
    try:
        regular_file(path)
        return read(path)
    except DAMAGE:
        raise StorageError(f"{path}: is truncated or damaged. {COMPUTE_ANEW}") from None

"""Finds a data set that the program does not download, and says where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metacl_run.core.errors import DataError
from metacl_run.data.files.reading import data_root, reading


def find_folder(root: str, *, name: str, files: Sequence[str], folders: Sequence[str], whence: str, instead: str) -> Path:
    """The first folder below the data root that has all files of a data set.

    Args:
        root: the data root, which need not exist.
        name: what the data set is called in messages.
        files: their names.
        folders: paths below the root where they may lie.
        whence: where a user gets the files.
        instead: a command that works without them.

    Raises:
        DataError: no folder has them all; what was looked for, where, where they come from, and what works without them.
    """
    base = data_root(root)
    with reading(base):
        for folder in folders:
            if all((base / folder / file).is_file() for file in files):
                return base / folder
    tried = "".join(f"\n  {base / folder / file}" for folder in folders for file in files)
    raise DataError(
        f"{name} was not found, and it is not downloaded. Looked for:{tried}\nIt comes from {whence}. Put it there, or name "
        f"the folder with data.root=FOLDER or the variable METACL_DATA. What runs now without it: {instead}"
    )

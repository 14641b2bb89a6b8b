"""Reads folders and files of data. What a file system refuses becomes one message with the path."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metacl_run.core.errors import DataError
from metacl_run.core.files import regular_file, status


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns a path that cannot be looked at, whatever the reason, into a DataError that names it."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{printed(path)}: cannot be read ({error.strerror or error}).") from None


def printed(path: Path) -> str:
    """The path as it can be printed and stored: a name that is no UTF-8 has bytes that are neither."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def data_root(root: str) -> Path:
    """The data root with `~` and `~user` written out.

    Raises:
        DataError: there is no such user, or the path cannot be looked at (too long, not allowed); it need not exist.
    """
    try:
        base = Path(root).expanduser()
    except RuntimeError:
        user = root.split("/")[0]
        raise DataError(f"data.root={root}: {user} stands for the home of a user who is not known here.") from None
    try:
        status(base)
    except (FileNotFoundError, NotADirectoryError):
        pass  # who looks for a file there reports it
    except OSError as error:
        raise DataError(f"data.root={root}: cannot be looked into ({error.strerror}).") from None
    return base


def listed(folder: Path) -> list[Path]:
    """The content of a folder, sorted by name, without names that begin with a dot and `__MACOSX`, which systems leave there.

    Raises:
        DataError: the folder cannot be read.
    """
    with reading(folder):
        return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.name != "__MACOSX")


def sub_folders(folder: Path) -> list[Path]:
    """The folders in a folder, as `listed`.

    Raises:
        DataError: the folder cannot be read, or one of its links leads nowhere or in a circle: what was a class may be gone.
    """
    folders = []
    for path in listed(folder):
        with reading(path):
            if stat.S_ISDIR(status(path).st_mode):
                folders.append(path)
    return folders


def stamp(path: Path) -> tuple[str, int, int]:
    """A file's part of a cache's key: it changes when the file does.

    Raises:
        DataError: it is no regular file, or a link that leads to none.
    """
    with reading(path):
        file = regular_file(path)
    return os.path.abspath(path), file.st_size, file.st_mtime_ns

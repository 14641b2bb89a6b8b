"""Finds a data set below the data root or downloads it there, once, however many processes start together."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from metacl_run.core.errors import DataError
from metacl_run.data.files.reading import data_root, reading

Place = TypeVar("Place")
"""Where a data set lies: a folder, an archive, or several files."""

STALLED = 30.0
"""Seconds without a byte after which a connection counts as failed."""
WITHOUT = "What runs now without it: metacl-run data=split_glyphs"


def find_or_fetch(
    root: str,
    *,
    name: str,
    looked_for: Sequence[str],
    find: Callable[[Path], Place | None],
    download: Callable[[Path], object],
    verify: Callable[[Place], object],
    place: str,
    allowed: bool,
) -> Place:
    """Finds a data set below the data root; downloads it where it is not there.

    The download goes to a folder of its own beside its place, is verified and then renamed: what lies in its place is
    complete, and a second process waits for the first.

    Args:
        root: the data root, which need not exist.
        name: what the data set is called in messages.
        looked_for: the paths below the root that `find` tries, for messages.
        find: returns None unless everything is there.
        download: fills a folder so that `find` finds the data in it.
        verify: raises DataError unless the data are what they should be.
        place: the folder below the root that the download makes.
        allowed: whether to download at all.

    Raises:
        DataError: what was looked for, where, why the download failed, and what works without it.
    """
    base = data_root(root)
    with reading(base):
        data = find(base)
    if data is not None:
        return data
    why = "data.download is false"
    if allowed:
        try:
            return _fetch(base, name=name, find=find, download=download, verify=verify, place=place)
        except Exception as error:  # whatever a network, a disk or a foreign library comes up with
            why = f"the download failed ({error or type(error).__name__})"
    tried = "".join(f"\n  {base / path}" for path in looked_for)
    raise DataError(
        f"{name} was not found, and {why}. Looked for:{tried}\n"
        f"Put the files there, or name their folder with data.root=FOLDER or the variable METACL_DATA. {WITHOUT}"
    )


def _fetch(
    base: Path,
    *,
    name: str,
    find: Callable[[Path], Place | None],
    download: Callable[[Path], object],
    verify: Callable[[Place], object],
    place: str,
) -> Place:
    with _alone_in(base, name):
        data = find(base)
        if data is not None:  # another process was first
            return data
        if (base / place).exists():
            raise DataError(f"{base / place} is there already but not complete: remove it")
        work = Path(tempfile.mkdtemp(dir=base, prefix=f".{name.lower()}-"))
        try:
            with giving_up_stalled_connections():
                download(work)
            data = find(work)
            if data is None:
                raise DataError("it brought other files than expected")
            verify(data)
            (base / place).parent.mkdir(parents=True, exist_ok=True)
            (work / place).rename(base / place)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    data = find(base)
    assert data is not None
    return data


@contextmanager
def _alone_in(base: Path, name: str) -> Iterator[None]:
    """Locks a data set in the data root. Makes the root where it is missing, but not its parents, since a mistyped folder would
    be made; where nothing came into it, it does not stay."""
    made, lock = not base.exists(), base / f".{name.lower()}.lock"
    base.mkdir(exist_ok=True)
    if not os.access(base, os.W_OK):
        raise DataError(f"{base} cannot be written to")
    try:
        with FileLock(lock):
            base.mkdir(exist_ok=True)  # the process that held the lock may have removed it
            yield
    except BaseException:
        if made:
            with suppress(OSError):
                lock.unlink()
                base.rmdir()
        raise


@contextmanager
def giving_up_stalled_connections() -> Iterator[None]:
    """Gives up on a connection after `STALLED` seconds: urllib, which torchvision uses, would wait for ever."""
    waited = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALLED)
    try:
        yield
    finally:
        socket.setdefaulttimeout(waited)

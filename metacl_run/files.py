"""Files written whole or not at all, and what a disk may refuse said in one message."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metacl_run.errors import StorageError

GONE = "somebody removed this folder while it was written to. Give the command again to start anew"

REFUSED = (
    *(errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENOTDIR, errno.ENOENT, errno.EEXIST, errno.ENAMETOOLONG),
)


@contextmanager
def storage_errors(directory: Path, option: str = "output_dir=...") -> Iterator[None]:
    """Turns a full disk or a read-only place into one message, with the option that chooses another place."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = "the disk is full. What was written before stands; make room and give the command again to go on"
        elif error.errno == errno.ENOENT and error.filename and directory in Path(error.filename).parents:
            reason = GONE
        elif error.errno in REFUSED:
            reason = f"cannot write there ({error.strerror}). Choose another place with {option}"
        else:
            name = Path(error.filename).name if error.filename else "a file"
            reason = f"{name} cannot be written ({error.strerror or error})"
        raise StorageError(f"{directory}: {reason}") from None
    except RuntimeError as error:  # torch.save's own writer, on a full disk or where there is no folder
        if not directory.is_dir():
            raise StorageError(f"{directory}: {GONE}") from None
        if "PytorchStreamWriter" in str(error) or "iostream" in str(error) or "unexpected pos" in str(error):
            raise StorageError(
                f"{directory}: writing the checkpoint failed, most likely because the disk is full. What was written before "
                "stands; make room and give the command again to go on"
            ) from None
        raise


def write_atomically(path: Path, content: bytes) -> None:
    """Writes beside the file, then renames: a reader sees the old content or the new, never half of it."""
    with storage_errors(path.parent), beside(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A neighbour of `path` to write to; it takes the place of `path` once it is finished, and goes if it is not."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        temporary.unlink(missing_ok=True)  # whatever lies there, a link to another file for instance, is not written through
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Removes what processes that were killed had written `beside` a file. For whoever holds the lock of the folder: then no
    other process is writing there."""
    with storage_errors(folder):
        for path in folder.glob(".*.new"):
            path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Waits until the file is on the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())

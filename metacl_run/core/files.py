"""Files written whole or not at all, only regular files read, and what a disk may refuse said in one message."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metacl_run.core.errors import StorageError

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
        elif error.errno == errno.ENOENT and _is_in(directory, error.filename) and not directory.is_dir():
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


def _is_in(directory: Path, name: str | bytes | int | None) -> bool:
    return isinstance(name, str) and directory in Path(name).parents


def write_atomically(path: Path, content: bytes) -> None:
    """Writes beside the file, then renames: a reader sees the old content or the new, never half of it."""
    with storage_errors(path.parent), atomic_replacement(path) as temporary:
        temporary.write_bytes(content)


def write_text_atomically(path: Path, text: str) -> None:
    """The same for a text, in UTF-8. A letter that has none, as a folder's name may have it, becomes "?"."""
    write_atomically(path, text.encode("utf-8", "replace"))


@contextmanager
def atomic_replacement(path: Path) -> Iterator[Path]:
    """A neighbour of `path` to write to; it takes the place of `path` once it is finished, and goes if it is not."""
    # In containers, processes that write one file may have one number.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        temporary.unlink(missing_ok=True)  # whatever lies there, a link to another file for instance, is not written through
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Removes the temporary files of `atomic_replacement` that killed processes left in the folder.

    Only the process that holds the folder's lock may call it: then no other process is writing there.
    """
    with storage_errors(folder):
        for path in folder.glob(".*.new"):
            path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Waits until the file is on the disk."""
    with open(path, "r+b") as file:  # Windows refuses to sync what is open for reading only
        os.fsync(file.fileno())


SPECIAL = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def status(path: Path) -> os.stat_result:
    """What a path leads to.

    Raises:
        OSError: with words for `strerror`: there is nothing, a link leads nowhere or in a circle, looking is not allowed.
    """
    try:
        return os.stat(path)
    except FileNotFoundError:
        lost = "a link to what is not there" if os.path.islink(path) else os.strerror(errno.ENOENT)
        raise FileNotFoundError(errno.ENOENT, lost, str(path)) from None
    except ValueError as error:  # a name with a null byte
        raise OSError(errno.EINVAL, str(error), str(path)) from None


def regular_file(path: Path) -> os.stat_result:
    """The status of a file, to be asked for before it is opened: reading a FIFO or a device may never end.

    Raises:
        OSError: as `status`, or it is no regular file.
    """
    file = status(path)
    if not stat.S_ISREG(file.st_mode):
        what = SPECIAL.get(stat.S_IFMT(file.st_mode), "something else")
        raise OSError(errno.EINVAL, f"{what}, not a file", str(path))
    return file


def read_at_most(path: Path, most: int) -> bytes:
    """A regular file's content.

    Raises:
        OSError: as `regular_file`, or the file holds more than `most` bytes, of which no more are read.
    """
    if regular_file(path).st_size <= most:
        with open(path, "rb") as file:
            content = file.read(most + 1)
        if len(content) <= most:
            return content
    raise OSError(errno.EFBIG, f"more than {most} bytes", str(path))

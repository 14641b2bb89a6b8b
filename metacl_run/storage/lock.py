"""The lock of a run's directory. Loads no torch."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import filelock

from metacl_run.core.errors import RunIsLockedError, StorageError
from metacl_run.core.files import storage_errors
from metacl_run.storage.run_files import LOCK

WAIT_S = 0.5
"""Seconds to wait for the lock: `is_locked` holds it for a moment."""
HELD = (errno.EWOULDBLOCK, errno.EAGAIN)
"""Another process has the lock."""
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)


def lock(directory: Path) -> filelock.BaseFileLock:
    """Takes the lock of a run's directory; the caller releases it.

    Raises:
        RunIsLockedError: another process has it.
        StorageError: the file system has no locks, or refuses this one.
    """
    path = directory / LOCK
    file_lock = filelock.FileLock(path, timeout=WAIT_S)
    with storage_errors(directory):
        try:
            file_lock.acquire()
        except filelock.Timeout:
            if os.name != "nt" and _refusal(path) == errno.EACCES:  # filelock takes it for a lock that another process holds
                raise StorageError(_without_locks(directory, os.strerror(errno.EACCES))) from None
            raise RunIsLockedError(directory) from None
        except OSError as error:
            if error.errno in NO_LOCKS:
                raise StorageError(_without_locks(directory, str(error.strerror))) from None
            raise
    return file_lock


def is_locked(directory: Path) -> bool:
    """Whether some process is computing the run; false as well without permission, or where the file system has no locks."""
    path = directory / LOCK
    if not os.path.exists(path):
        return False
    try:
        return _refusal(path) in HELD
    except ImportError:  # Windows, whose locks cannot be shared
        probe = filelock.FileLock(path, blocking=False)
        try:
            probe.acquire()
        except filelock.Timeout:
            return True
        probe.release()
        return False


def _refusal(path: Path) -> int | None:
    """Returns the number of the error that looking at the lock gives, if it gives one. Several processes may look at once.

    Raises:
        ImportError: on Windows.
    """
    import fcntl

    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno
    return None


def _without_locks(directory: Path, why: str) -> str:
    return (
        f"{directory}: the file system refuses the lock that keeps a second process out of a run ({why}). Choose a folder on "
        "another one with output_dir=..., or mount this one with locks (for NFS: local_lock=flock, or a running lockd)"
    )

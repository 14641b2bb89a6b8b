"""The lock of a run's directory, with file systems that only pretend."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import pytest

from metacl_run.core.errors import RunIsLockedError, StorageError
from metacl_run.storage.lock import is_locked, lock
from metacl_run.storage.run_files import LOCK


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """refusing(number): from here on flock gives this error."""

    def refuse(number: int) -> None:
        def flock(*_: Any) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(fcntl, "flock", flock)

    return refuse


def test_a_run_is_one_process_s(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    taken = lock(tmp_path)
    assert is_locked(tmp_path)
    with pytest.raises(RunIsLockedError, match="another process is computing this run"):
        lock(tmp_path)
    taken.release()
    assert not is_locked(tmp_path)
    lock(tmp_path).release()


def test_one_who_looks_does_not_count_as_computing(tmp_path: Path) -> None:
    lock(tmp_path).release()
    with open(tmp_path / LOCK, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # as another process that looks at this moment
        assert not is_locked(tmp_path)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EACCES])
def test_a_file_system_without_locks_is_said(number: int, tmp_path: Path, refusing: Callable[[int], None]) -> None:
    (tmp_path / LOCK).touch()
    refusing(number)
    with pytest.raises(StorageError, match=r"the file system refuses the lock .*\(.*\)\. Choose a folder .*output_dir="):
        lock(tmp_path)
    assert not is_locked(tmp_path)


def test_one_may_look_at_a_run_that_one_may_not_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / LOCK).touch()

    def refuse(_: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    assert not is_locked(tmp_path)

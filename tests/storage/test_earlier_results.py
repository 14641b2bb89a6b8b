"""A process that is killed between any two steps leaves the earlier results whole, or the new ones: never a part of each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metacl_run.storage.earlier_results import EarlierResults

NAMES = ("summary.json", "checkpoint.pt", "metrics.jsonl", "config.yaml", "learners")
FOLDER, IN_FOLDER = "learners", ("after_task_0.pt", "after_task_1.pt")
FILES = (*(name for name in NAMES if name != FOLDER), *(f"{FOLDER}/{name}" for name in IN_FOLDER))
CALLS = ("replace", "unlink", "mkdir", "rmdir")
"""What changes the file system, of os; pathlib and shutil call them."""
NEW = ("config.yaml", "metrics.jsonl", f"{FOLDER}/after_task_0.pt")
"""What a computation that begins anew has written when it is killed."""


class Killed(BaseException):
    pass


def content(directory: Path) -> dict[str, str]:
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {path.relative_to(directory).as_posix(): path.read_text() for path in files}


def fill(directory: Path, word: str) -> dict[str, str]:
    (directory / FOLDER).mkdir()
    for name in FILES:
        (directory / name).write_text(word)
    return dict.fromkeys(FILES, word)


def begin_anew(directory: Path) -> None:
    """Sets old results aside, and begins to write new ones."""
    fill(directory, "old")
    EarlierResults(directory, NAMES).set_aside()
    (directory / FOLDER).mkdir()
    for name in NEW:
        (directory / name).write_text("new")


def killed_after(steps: int, work: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Does the work up to so many changes of the file system; whether it was killed before its end."""
    left = [steps]

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def count(*args: Any, **kwargs: Any) -> Any:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return call(*args, **kwargs)

        return count

    with monkeypatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, counted(getattr(os, name)))
        try:
            work()
        except Killed:
            return True
    return False


def outcomes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: Callable[[Path], None], work: Callable[[EarlierResults], None]
) -> list[dict[str, str]]:
    """What is there after the next start, for a kill after 0, 1, ... steps of the work, and last without one."""
    after = []
    for steps in range(100):
        directory = tmp_path / str(steps)
        directory.mkdir()
        before(directory)
        earlier = EarlierResults(directory, NAMES)
        killed = killed_after(steps, lambda earlier=earlier: work(earlier), monkeypatch)  # type: ignore[misc]
        EarlierResults(directory, NAMES).take_back()  # as the next start does
        after.append(content(directory))
        assert [path.name for path in directory.iterdir() if path.is_dir()] == [FOLDER]
        shutil.rmtree(directory)
        if not killed:
            break
    assert len(after) > len(NAMES)
    return after


def test_setting_aside_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    after = outcomes(tmp_path, monkeypatch, lambda directory: fill(directory, "old"), EarlierResults.set_aside)
    assert after == [dict.fromkeys(FILES, "old")] * len(after)


def test_taking_back_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    after = outcomes(tmp_path, monkeypatch, begin_anew, EarlierResults.take_back)
    assert after == [dict.fromkeys(FILES, "old")] * len(after)


def test_dropping_leaves_the_old_or_the_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    after = outcomes(tmp_path, monkeypatch, begin_anew, EarlierResults.drop)
    assert after == [dict.fromkeys(FILES, "old")] + [dict.fromkeys(NEW, "new")] * (len(after) - 1)

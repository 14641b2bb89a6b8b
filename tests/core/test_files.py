"""Files that several processes write, and folders that are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from metacl_run.core.errors import StorageError
from metacl_run.core.files import atomic_replacement, remove_unfinished, write_text_atomically


def test_two_writers_of_one_file_are_not_in_each_other_s_way(tmp_path: Path) -> None:
    """As in two containers, where processes have the same number."""
    path = tmp_path / "index.html"
    with atomic_replacement(path) as first:
        first.write_text("first")
        with atomic_replacement(path) as second:
            second.write_text("second")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    writing = atomic_replacement(tmp_path / "summary.json")
    writing.__enter__().write_text("half")  # and never ended
    remove_unfinished(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_letter_without_a_code_does_not_stop_a_page(tmp_path: Path) -> None:
    write_text_atomically(tmp_path / "report.html", "caf\udce9 ü")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == "caf? ü"


def test_a_folder_that_somebody_removed_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="somebody removed this folder"):
        write_text_atomically(tmp_path / "gone" / "summary.json", "{}")

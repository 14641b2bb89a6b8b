"""Paths that cannot be looked at are one message, whatever the data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metacl_run.core.errors import DataError
from metacl_run.core.files import read_at_most, regular_file


@pytest.mark.parametrize(
    ("root", "message"),
    [
        ("d" * 300, "cannot be looked into (File name too long)"),
        ("~nosuchuser/x", "~nosuchuser stands for the home of a user who is not known here"),
        ("null\0byte", "cannot be looked into (embedded null byte)"),
        ("circle", "cannot be looked into (Too many levels of symbolic links)"),
    ],
)
@pytest.mark.parametrize("name", ["image_folder", "omniglot", "split_mnist", "split_cifar100", "split_tinyimagenet"])
def test_a_root_that_cannot_be_looked_into(
    make: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, root: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("circle").symlink_to("circle")
    with pytest.raises(DataError) as caught:
        make(name, root=root).source.read()
    assert str(caught.value).startswith(f"data.root={root}: ")
    assert message in str(caught.value)


def test_a_file_that_grows_is_read_to_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert regular_file(path).st_size == 5
    assert read_at_most(path, 5) == b"12345"
    with pytest.raises(OSError, match="more than 4 bytes"):
        read_at_most(path, 4)
    with pytest.raises(OSError, match="more than 100 bytes"):  # a file without a size
        read_at_most(Path("/proc/self/smaps"), 100)

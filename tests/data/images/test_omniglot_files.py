"""Omniglot's archives and folders, what is refused of them, and their download."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metacl_run.core.errors import DataError
from metacl_run.data.images import omniglot_files
from metacl_run.data.images.omniglot_files import ALPHABETS, SUBSETS, omniglot_catalogue, read_omniglot
from tests.support.commands import FORKSERVER
from tests.support.pngs import BLACK, WHITE


def read(root: Path, *, download: bool = False) -> np.ndarray:
    return read_omniglot(str(root), image_size=8, download=download).x


def rewrite(archive: Path, change: Callable[[str, bytes], tuple[str, bytes] | None]) -> None:
    """Passes every file of an archive through `change`; None drops it."""
    with zipfile.ZipFile(archive) as old:
        files = [change(name, old.read(name)) for name in old.namelist()]
    with zipfile.ZipFile(archive, "w") as new:
        for file in files:
            if file is not None:
                new.writestr(*file)


SMALL = {"images_background": 12, "images_evaluation": 8}
"""Characters in each subset of the small Omniglot of most tests."""


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the two archives of a small Omniglot; every drawing is white paper."""
    monkeypatch.setattr(omniglot_files, "SUBSETS", SMALL)
    folder = tmp_path / "copy"
    folder.mkdir()
    for subset, characters in SMALL.items():
        with zipfile.ZipFile(folder / f"{subset}.zip", "w") as archive:
            for number in range(characters):
                for writer in range(20):
                    place = f"{subset}/Alphabet{number // 4:02d}/character{number % 4 + 1:02d}"
                    archive.writestr(f"{place}/{number:04d}_{writer:02d}.png", WHITE)
    return folder


def test_static_table_is_complete() -> None:
    assert sum(list(ALPHABETS.values())[:30]) == SUBSETS["images_background"]
    assert sum(list(ALPHABETS.values())[30:]) == SUBSETS["images_evaluation"]
    assert len(ALPHABETS) == 50


@pytest.mark.parametrize("below", ["", "omniglot", "omniglot-py"])
def test_archives_are_found_and_ink_is_bright(copy: Path, tmp_path: Path, below: str) -> None:
    place = tmp_path / "root" / below
    place.parent.mkdir(parents=True, exist_ok=True)
    copy.rename(place)
    pixels = read(tmp_path / "root")
    assert pixels.shape == (400, 1, 8, 8)
    assert not pixels.any()  # the fake drawings are white paper
    assert {path.name for path in place.iterdir()} == {f"{subset}.zip" for subset in SUBSETS}  # nothing was unpacked


def unpack(copy: Path) -> None:
    """Puts a folder in the place of the second archive."""
    archive = copy / "images_evaluation.zip"
    with zipfile.ZipFile(archive) as content:
        content.extractall(copy)
    archive.unlink()


def test_unpacked_folders_do_as_well(copy: Path) -> None:
    unpack(copy)
    (copy / "images_evaluation" / "Alphabet00" / "character01" / "0000_00.png").write_bytes(BLACK)
    pixels = read(copy)
    assert pixels.reshape(400, -1).max(1).nonzero()[0].tolist() == [12 * 20]


@pytest.mark.parametrize(
    ("create", "message"),
    [
        (lambda path: path.symlink_to("nowhere"), "a link to what is not there"),
        (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
        (os.mkfifo, "a FIFO, not a file"),
    ],
)
def test_a_path_in_a_folder_that_is_no_file_is_named(copy: Path, create: Callable[[Path], object], message: str) -> None:
    unpack(copy)
    drawing = copy / "images_evaluation" / "Alphabet00" / "character01" / "0000_00.png"
    drawing.unlink()
    create(drawing)
    with pytest.raises(DataError, match=rf"character01/0000_00.png: cannot be read \({message}\)"):
        read(copy)


def test_files_of_macos_are_passed_over(copy: Path) -> None:
    before = read(copy)
    with zipfile.ZipFile(copy / "images_background.zip", "a") as archive:
        for name in (
            "__MACOSX/images_background/Alphabet00/character01/._0000_00.png",
            "images_background/._Alphabet00/c/1.png",
        ):
            archive.writestr(name, b"\0\5\26\7")
    unpack(copy)
    (copy / "images_evaluation" / "Alphabet00" / "character01" / "._0000_00.png").write_bytes(b"\0\5\26\7")
    assert np.array_equal(read(copy), before)


def test_a_changed_archive_is_read_again(copy: Path) -> None:
    assert not read(copy).any()
    rewrite(copy / "images_background.zip", lambda name, _: (name, BLACK))
    assert read(copy)[: 12 * 20].all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda n, c: None if "Alphabet01/character02/" in n else (n, c), "found 11 characters"),
        (lambda n, c: None if n.endswith("0003_07.png") else (n, c), "Alphabet00/character04 has 19 drawings"),
        (
            lambda n, c: (n, c[:40]) if n.endswith("0003_07.png") else (n, c),
            "0003_07.png: this image cannot be decoded",
        ),
        (lambda n, c: ("../" + n, c) if n.endswith("0003_07.png") else (n, c), "refused, it names a file outside"),
        (lambda n, c: ("/" + n, c) if n.endswith("0003_07.png") else (n, c), "refused, it names a file outside"),
    ],
)
def test_a_wrong_archive_is_refused(
    copy: Path, cache: Path, change: Callable[[str, bytes], tuple[str, bytes] | None], message: str
) -> None:
    rewrite(copy / "images_background.zip", change)
    with pytest.raises(DataError, match=message) as caught:
        read(copy)
    assert "images_background.zip" in str(caught.value)
    assert not list(cache.glob("**/*.npy"))


def test_a_half_written_archive_is_refused(copy: Path) -> None:
    archive = copy / "images_evaluation.zip"
    archive.write_bytes(archive.read_bytes()[:10000])
    with pytest.raises(DataError, match=r"images_evaluation.zip: not a whole zip archive .*expected 8 characters of 20"):
        read(copy)


def test_a_damaged_archive_is_refused(copy: Path) -> None:
    archive = copy / "images_background.zip"
    with zipfile.ZipFile(archive) as content:
        place = content.infolist()[1].header_offset
    damaged = bytearray(archive.read_bytes())
    damaged[place + 90 : place + 130] = bytes(40)
    archive.write_bytes(damaged)
    with pytest.raises(DataError, match=r"0000_01.png is damaged in the archive"):
        read(copy)


CENTRAL, LOCAL = b"PK\x01\x02", b"PK\x03\x04"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({(CENTRAL, 6): 0xFF}, r"images_background.zip: not a whole zip archive \(zip file version"),
        ({(CENTRAL, 9): 0x08, (CENTRAL, 50): 0xFF}, r"images_background.zip: not a whole zip archive \('utf-8' codec"),
        ({(LOCAL, 7): 0x08, (LOCAL, 34): 0xFF}, r"0000_00.png is damaged in the archive \('utf-8' codec"),
    ],
)
def test_headers_that_are_damaged_are_one_message(copy: Path, changes: dict[tuple[bytes, int], int], message: str) -> None:
    archive = copy / "images_background.zip"
    damaged = bytearray(archive.read_bytes())
    for (header, offset), value in changes.items():
        damaged[damaged.index(header) + offset] = value
    archive.write_bytes(damaged)
    with pytest.raises(DataError, match=message):
        read(copy)


def test_missing_data_say_where_why_and_what_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(folder: Path) -> None:
        (folder / "part").write_text("x")
        raise OSError("no route to host")

    monkeypatch.setattr(omniglot_files, "_download", offline)
    with pytest.raises(DataError) as caught:
        read(tmp_path / "root", download=True)
    message = str(caught.value)
    for part in (
        "Omniglot was not found",
        "no route to host",
        "omniglot/images_background.zip",
        "data.root",
        "split_glyphs",
    ):
        assert part in message
    assert not (tmp_path / "root").exists()  # a mistyped folder does not stay
    (tmp_path / "root").mkdir()
    with pytest.raises(DataError, match=r"no route to host"):
        read(tmp_path / "root", download=True)
    assert not [path for path in (tmp_path / "root").iterdir() if path.is_dir()]
    with pytest.raises(DataError, match=r"data.download is false"):
        read(tmp_path / "root", download=False)


def test_an_incomplete_place_is_not_overwritten(copy: Path, tmp_path: Path) -> None:
    place = tmp_path / "root" / "omniglot-py"
    place.mkdir(parents=True)
    (copy / "images_background.zip").rename(place / "images_background.zip")
    with pytest.raises(DataError, match="omniglot-py is there already but not complete: remove it"):
        read(tmp_path / "root", download=True)


def _start(root: Path, source: Path, downloads: Path, results: Any) -> None:
    def slow(folder: Path) -> None:
        with downloads.open("a") as file:
            file.write("one\n")
        (folder / "omniglot-py").mkdir()
        for subset in SUBSETS:
            shutil.copy(source / f"{subset}.zip", folder / "omniglot-py")

    omniglot_files._download, omniglot_files.SUBSETS = slow, SMALL
    results.put(read(root, download=True).shape)


def test_two_processes_at_once_download_once(copy: Path, tmp_path: Path) -> None:
    results, root, downloads = FORKSERVER.Queue(), tmp_path / "root", tmp_path / "downloads"
    processes = [FORKSERVER.Process(target=_start, args=(root, copy, downloads, results)) for _ in range(2)]
    for process in processes:
        process.start()
    assert [results.get(timeout=120) for _ in processes] == [(400, 1, 8, 8)] * 2
    for process in processes:
        process.join()
    assert downloads.read_text() == "one\n"
    assert [path.name for path in root.iterdir() if path.is_dir()] == ["omniglot-py"]


@pytest.mark.parametrize("name", ["omniglot", "split_omniglot"])
def test_real_omniglot(make: Callable[..., Any], real_data: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("METACL_CACHE")  # decoding takes ten seconds: share the user's cache
    stream = make(name, root=real_data)
    pool = stream.load([0, 1])
    sizes = [[int(pool.members[split].sizes[0, task]) for split in ("train", "test")] for task in range(stream.count_tasks())]
    assert np.sum(sizes) == 1623
    if name == "omniglot":
        assert sizes == [[1200, 423]]
        examples = stream.source.read()
        assert examples.catalogue.groups == omniglot_catalogue().groups
        assert 0.05 < examples.x.mean() / 255 < 0.15

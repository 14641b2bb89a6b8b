"""What is no image, or none that can be shown faithfully, is refused by name, under every protocol; nothing is started."""

from __future__ import annotations

import dataclasses
import io
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from PIL import Image

from metacl_run.core.errors import ConfigError, DataError, SettingError
from tests.data.test_image_modes import LEVEL, PROTOCOLS, RGB, SETTINGS, folder_of
from tests.support.pngs import COLOUR, GREY, chunk, numbers, png

GOOD = png(LEVEL, GREY, 8)


def saved(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, kind)
    return buffer.getvalue()


HUGE = 100_000
CONTENTS: dict[str, tuple[bytes, str]] = {
    "EPS": (saved("EPS"), "it is an EPS or PostScript file, neither PNG nor JPEG"),
    "GIF": (saved("GIF"), "it is a GIF image"),
    "BMP": (saved("BMP"), "it is a BMP image"),
    "TIFF": (saved("TIFF"), "it is a TIFF image"),
    "PPM": (saved("PPM"), "it is a PNM image"),
    "PDF": (saved("PDF"), "it is a PDF file"),
    "icon": (saved("ICO"), "it is an icon"),
    "WebP": (b"RIFF\x24\0\0\0WEBPVP8 ", "it is a WebP image"),
    "AVIF": (b"\0\0\0\x1cftypavif", "it is an AVIF or HEIC image"),
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "it is an SVG image"),
    "web page": (b"<!DOCTYPE html><title>404</title>", "it is a web page"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "it is a pointer of Git LFS: git lfs pull"),
    "NumPy": (b"\x93NUMPY\1\0v\0{}", "it is a NumPy array"),
    "PCX, which Pillow reads": (saved("PCX"), "it is no whole PNG or JPEG file"),
    "empty": (b"", "it is an empty file"),
    "text": (b"hello, world", "it is no whole PNG or JPEG file"),
    "cut short": (GOOD[:-30], "a part of it is missing"),
    "only a header": (GOOD[:20], "a part of it is missing"),
    "a flipped byte": (
        GOOD[:60] + bytes([GOOD[60] ^ 255]) + GOOD[61:],
        "a part of it is missing, or changed since it was written",
    ),
    "more pixels than are read": (png(LEVEL, GREY, 8, size=(10_001, 10_000)), "10001 x 10000 pixels are more than 100000000"),
    "a bomb": (png(LEVEL, GREY, 8, size=(HUGE, HUGE)), "exceeds limit"),
    "a transparent colour of 16 bits": (
        png(RGB * 257, COLOUR, 16, chunk(b"tRNS", numbers(0, 0, 0))),
        "one of its colours of 16 bits is transparent",
    ),
}


@pytest.fixture(autouse=True)
def _no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*args: object, **kwargs: object) -> NoReturn:
        raise AssertionError(f"a program was started: {args}")

    monkeypatch.setattr(subprocess, "Popen", started)
    monkeypatch.setattr(os, "system", started)


def refusal(make: Callable[..., Any], root: Path, protocol: str) -> str:
    with pytest.raises(DataError) as caught:
        PROTOCOLS[protocol](make("image_folder", root=str(root), channels=1, **SETTINGS))
    return str(caught.value)


@pytest.mark.parametrize("case", CONTENTS)
def test_a_file_that_is_no_image_of_ours_is_named(make: Callable[..., Any], tmp_path: Path, case: str) -> None:
    content, message = CONTENTS[case]
    root = folder_of(tmp_path / "images", GOOD)
    (root / "class2" / "image1.png").write_bytes(content)
    for protocol in PROTOCOLS:
        text = refusal(make, root, protocol)
        assert "class2/image1.png: this image cannot be decoded (" in text
        assert message in text


PLACES: dict[str, tuple[Callable[[Path], object], str]] = {
    "FIFO": (os.mkfifo, "a FIFO, not a file"),
    "folder": (Path.mkdir, "a folder, not a file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "a device, not a file"),
    "dangling link": (lambda path: path.symlink_to("nowhere.png"), "a link to what is not there"),
    "circular link": (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
}


@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_file_is_named(make: Callable[..., Any], tmp_path: Path, place: str) -> None:
    lay, message = PLACES[place]
    root = folder_of(tmp_path / "images", GOOD)
    (root / "class3" / "image2.png").unlink()
    lay(root / "class3" / "image2.png")
    assert f"class3/image2.png: cannot be read ({message})." in refusal(make, root, "online")


def test_a_class_that_a_link_has_lost_is_named(make: Callable[..., Any], tmp_path: Path) -> None:
    root = folder_of(tmp_path / "images", GOOD)
    (root / "class9").symlink_to("elsewhere")
    assert "class9: cannot be read (a link to what is not there)." in refusal(make, root, "continual_meta")


def test_a_link_to_images_elsewhere_is_followed(make: Callable[..., Any], tmp_path: Path) -> None:
    root, elsewhere = folder_of(tmp_path / "images", GOOD), tmp_path / "elsewhere"
    (root / "class3").rename(elsewhere)
    (root / "class3").symlink_to(elsewhere)
    (root / "class2" / "image0.png").unlink()
    (root / "class2" / "image0.png").symlink_to(elsewhere / "image0.png")
    assert len(make("image_folder", root=str(root), image_size=8).read().pixels) == 12


@pytest.mark.parametrize("what", ["images", "images/class1"])
def test_a_folder_that_may_not_be_read_is_named(
    make: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    root, closed = folder_of(tmp_path / "images", GOOD), tmp_path / what
    listdir, scandir = os.listdir, os.scandir

    def refuse(path: Any, otherwise: Callable[[Any], Any]) -> Any:
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return otherwise(path)

    monkeypatch.setattr(os, "listdir", lambda path=".": refuse(path, listdir))
    monkeypatch.setattr(os, "scandir", lambda path=".": refuse(path, scandir))
    assert f"{closed}: cannot be read (Permission denied)." in refusal(make, root, "online")


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
        make(name, root=root).read()
    assert str(caught.value).startswith(f"data.root={root}: ")
    assert message in str(caught.value)


def test_an_image_that_goes_while_it_is_read_is_named(
    make: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from metacl_run.data.sources import image_folder

    root, stamp = folder_of(tmp_path / "images", GOOD), image_folder.stamp

    def stamped(path: Path) -> tuple[str, int, int]:
        found = stamp(path)
        if path.match("class3/image2.png"):
            path.unlink()
        return found

    monkeypatch.setattr(image_folder, "stamp", stamped)
    assert "class3/image2.png: cannot be read (No such file or directory)." in refusal(make, root, "meta_continual")


def test_too_little_memory_is_said(make: Callable[..., Any], tmp_path: Path) -> None:
    root = folder_of(tmp_path / "images", GOOD)
    data = dataclasses.replace(make("image_folder", root=str(root)), image_size=30_000_000)
    with pytest.raises(DataError, match=r"data.image_size=30000000: 12 images of 3 x .* more memory than there is"):
        data.read()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "class7: this class has 0 images: the folder is empty"),
        (["a.bmp", "b.BMP", "c.gif"], "endings that are read (.png .jpg .jpeg); it holds others: 2 .bmp, 1 .gif."),
        (["train/"], "0 images, but 1 sub-folder: data.root must be the folder that holds one folder of images"),
        (["._1.png", ".DS_Store"], "class7: this class has 0 images: the folder is empty"),
    ],
)
def test_a_class_without_images_is_named(make: Callable[..., Any], tmp_path: Path, files: list[str], message: str) -> None:
    root = folder_of(tmp_path / "images", GOOD)
    (root / "class7").mkdir()
    for file in files:
        path = root / "class7" / file
        path.mkdir() if file.endswith("/") else path.write_bytes(GOOD)
    for protocol in PROTOCOLS:
        assert message in refusal(make, root, protocol)


def test_what_systems_leave_behind_is_passed_over(make: Callable[..., Any], tmp_path: Path) -> None:
    root = folder_of(tmp_path / "images", GOOD)
    for path in (root / "class0" / "._image0.png", root / "._class0", root / ".hidden" / "1.png", root / "__MACOSX" / "1.png"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\0\5\26\7 no image")
    images = make("image_folder", root=str(root), image_size=8).read()
    assert images.catalogue.groups == [f"class{number}" for number in range(4)]
    assert (images.pixels == images.pixels[0]).all()
    assert not images.notes


def test_a_class_too_small_for_its_test_examples_is_named(make: Callable[..., Any], tmp_path: Path) -> None:
    root = folder_of(tmp_path / "images", GOOD)
    data = make("image_folder", root=str(root), **{**SETTINGS, "test_examples": 3})
    for check in (data.check_samples, lambda: data.check(2)):
        with pytest.raises(
            (SettingError, ConfigError), match=r"test_examples=3: must be less than the 3 images of class .*class0"
        ):
            check()


def test_a_name_that_is_no_utf8_can_be_printed(make: Callable[..., Any], tmp_path: Path) -> None:
    root = folder_of(tmp_path / "images", GOOD)
    odd = Path(os.fsdecode(os.fsencode(root / "caf") + b"\xe9"))
    (root / "class3").rename(odd)
    data = make("image_folder", root=str(root), image_size=8)
    assert data.read().catalogue.groups == ["caf\\udce9", "class0", "class1", "class2"]
    (odd / "image1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"caf\\udce9/image1.png: this image cannot be decoded"):
        data.read()


def test_a_wide_image_is_one_square(make: Callable[..., Any], tmp_path: Path) -> None:
    root = folder_of(tmp_path / "images", png(np.full((1, 300), 90), GREY, 8))
    assert (make("image_folder", root=str(root), image_size=8).read().pixels == 90).all()

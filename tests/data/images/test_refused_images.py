"""Files that are no images, or none that can be read faithfully, are refused by name; no other program is started."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from PIL import Image

from metacl_run.core.errors import DataError
from metacl_run.data.images import class_folders
from tests.support.image_folders import GOOD, LEVEL, RGB, SETTINGS, equal_images, images_under
from tests.support.pngs import COLOUR, GREY, chunk, numbers, png


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
    def start(*args: object, **kwargs: object) -> NoReturn:
        raise AssertionError(f"a program was started: {args}")

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(os, "system", start)


def refusal(make: Callable[..., Any], root: Path, protocol: str = "online") -> str:
    with pytest.raises(DataError) as caught:
        images_under(protocol, make, root, channels=1)
    return str(caught.value)


@pytest.mark.parametrize("case", CONTENTS)
def test_a_file_that_is_no_png_or_jpeg_image_is_named(make: Callable[..., Any], tmp_path: Path, case: str) -> None:
    content, message = CONTENTS[case]
    root = equal_images(tmp_path / "images", GOOD)
    (root / "class2" / "image1.png").write_bytes(content)
    for protocol in SETTINGS:
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
def test_a_path_that_is_no_file_is_named(make: Callable[..., Any], tmp_path: Path, place: str) -> None:
    create, message = PLACES[place]
    root = equal_images(tmp_path / "images", GOOD)
    (root / "class3" / "image2.png").unlink()
    create(root / "class3" / "image2.png")
    assert f"class3/image2.png: cannot be read ({message})." in refusal(make, root)


def test_an_image_that_disappears_while_the_folder_is_read_is_named(
    make: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, stamp = equal_images(tmp_path / "images", GOOD), class_folders.stamp

    def stamp_and_remove(path: Path) -> tuple[str, int, int]:
        result = stamp(path)
        if path.match("class3/image2.png"):
            path.unlink()
        return result

    monkeypatch.setattr(class_folders, "stamp", stamp_and_remove)
    assert "class3/image2.png: cannot be read (No such file or directory)." in refusal(make, root)

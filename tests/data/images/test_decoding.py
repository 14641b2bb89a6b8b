"""Every kind of PNG and JPEG image under every protocol, compared with what was put into the file."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from metacl_run.core.errors import DataError
from metacl_run.data.images.decoding import decode, stacked
from metacl_run.data.images.own_images import own_image
from metacl_run.data.sources.omniglot import Omniglot
from tests.support.image_folders import LEVEL, RAMP, RGB, SETTINGS, SIDE, equal_images, images_under
from tests.support.pngs import COLOUR, COLOUR_ALPHA, GREY, GREY_ALPHA, PALETTE, chunk, numbers, oriented, png

ALPHA = 255 - RAMP * 3
COLOURS = np.random.default_rng(0).integers(0, 256, (64, 3))
"""A palette."""


def over_white(values: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = (alpha / 255).reshape(*alpha.shape, *[1] * (values.ndim - alpha.ndim))
    return values * share + 255 * (1 - share)


def clear(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The values, white where `where` is true."""
    return np.where(where if values.ndim == where.ndim else where[..., None], 255, values)


def jpeg(image: np.ndarray, orientation: int = 1) -> bytes:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    mode = {(): "L", (3,): "RGB", (4,): "CMYK"}[image.shape[2:]]
    Image.frombytes(mode, (SIDE, SIDE), image.astype(np.uint8).tobytes()).save(
        buffer, "JPEG", quality=100, subsampling=0, exif=exif
    )
    return buffer.getvalue()


def trns(*values: int) -> bytes:
    return chunk(b"tRNS", numbers(*values))


PLTE = chunk(b"PLTE", COLOURS.astype(np.uint8).tobytes())
SIDEWAYS = np.repeat(np.arange(SIDE)[None] * 32, SIDE, 0)
SMOOTH = np.add.outer(np.arange(SIDE), np.arange(SIDE)) * 16
CASES: dict[str, tuple[bytes, np.ndarray]] = {
    "grey, 1 bit": (png(RAMP % 2, GREY, 1), RAMP % 2 * 255),
    "grey, 2 bits": (png(RAMP % 4, GREY, 2), RAMP % 4 * 85),
    "grey, 4 bits": (png(RAMP % 16, GREY, 4), RAMP % 16 * 17),
    "grey, 8 bits": (png(LEVEL, GREY, 8), LEVEL),
    "grey, 16 bits": (png(LEVEL * 257, GREY, 16), LEVEL),
    "grey, 16 bits between the levels of 8": (png(RAMP * 1000, GREY, 16), RAMP * 1000 / 257),
    "grey, 12 of 16 bits": (png(RAMP * 65, GREY, 16), RAMP * 65 / 257),
    "grey and alpha": (png(np.stack([LEVEL, ALPHA], -1), GREY_ALPHA, 8), over_white(LEVEL, ALPHA)),
    "grey and alpha, 16 bits": (png(np.stack([LEVEL, ALPHA], -1) * 257, GREY_ALPHA, 16), over_white(LEVEL, ALPHA)),
    "black ink on transparent black": (png(np.stack([0 * LEVEL, ALPHA], -1), GREY_ALPHA, 8), 255 - ALPHA),
    "colour": (png(RGB, COLOUR, 8), RGB),
    "colour, 16 bits": (png(RGB * 257, COLOUR, 16), RGB),
    "colour and alpha": (png(np.dstack([RGB, ALPHA]), COLOUR_ALPHA, 8), over_white(RGB, ALPHA)),
    "colour and alpha, 16 bits": (png(np.dstack([RGB, ALPHA]) * 257, COLOUR_ALPHA, 16), over_white(RGB, ALPHA)),
    "colour, all opaque": (png(np.dstack([RGB, 0 * ALPHA + 255]), COLOUR_ALPHA, 8), RGB),
    "palette": (png(RAMP, PALETTE, 8, PLTE), COLOURS[RAMP]),
    "palette, 4 bits": (png(RAMP % 16, PALETTE, 4, PLTE), COLOURS[RAMP % 16]),
    "palette with one transparent place": (
        png(RAMP, PALETTE, 8, PLTE, chunk(b"tRNS", b"\xff" * 5 + b"\0")),
        clear(COLOURS[RAMP], RAMP == 5),
    ),
    "palette with alpha": (
        png(RAMP, PALETTE, 8, PLTE, chunk(b"tRNS", ALPHA.astype(np.uint8).tobytes())),
        over_white(COLOURS[RAMP], ALPHA),
    ),
    **{
        f"grey, {depth} bits, one of them transparent": (
            png(RAMP % 2**depth, GREY, depth, trns(one)),
            clear(RAMP % 2**depth * (255 / (2**depth - 1)), RAMP % 2**depth == one),
        )
        for depth, one in ((1, 0), (2, 1), (4, 7), (8, 7))
    },
    "grey, 16 bits, one of them transparent": (png(LEVEL * 257, GREY, 16, trns(40 * 257)), clear(LEVEL, LEVEL == 40)),
    "colour, one of them transparent": (png(RGB, COLOUR, 8, trns(*RGB[2, 3])), clear(RGB, (RGB[2, 3] == RGB).all(-1))),
    "JPEG, grey": (jpeg(SMOOTH), SMOOTH),
    "JPEG, colour": (jpeg(np.dstack([SMOOTH] * 3)), SMOOTH),
    "JPEG, four inks": (jpeg(np.dstack([255 - SMOOTH] * 3 + [0 * SMOOTH])), SMOOTH),
    "JPEG, the first row is at the right": (jpeg(SIDEWAYS, 6), SIDEWAYS.T[:, ::-1]),
    "upright": (png(LEVEL, GREY, 8, oriented(1)), LEVEL),
    "mirrored": (png(LEVEL, GREY, 8, oriented(2)), LEVEL[:, ::-1]),
    "upside down": (png(LEVEL, GREY, 8, oriented(3)), LEVEL[::-1, ::-1]),
    "mirrored, upside down": (png(LEVEL, GREY, 8, oriented(4)), LEVEL[::-1]),
    "rows are columns": (png(LEVEL, GREY, 8, oriented(5)), LEVEL.T),
    "the first row is at the right": (png(LEVEL, GREY, 8, oriented(6)), LEVEL.T[:, ::-1]),
    "rows are columns, turned by 180": (png(LEVEL, GREY, 8, oriented(7)), LEVEL.T[::-1, ::-1]),
    "the first row is at the left": (png(LEVEL, GREY, 8, oriented(8)), LEVEL.T[::-1]),
    "no such side": (png(LEVEL, GREY, 8, oriented(9)), LEVEL),
    "broken EXIF": (png(LEVEL, GREY, 8, chunk(b"eXIf", b"MM\0*\0\0\0\x09zz")), LEVEL),
    "colour of 16 bits, turned": (png(RGB * 257, COLOUR, 16, oriented(6)), RGB.transpose(1, 0, 2)[:, ::-1]),
}


@pytest.mark.parametrize("case", CASES)
def test_an_image_is_read_as_it_is_in_the_file(make: Callable[..., Any], tmp_path: Path, case: str) -> None:
    content, pixels = CASES[case]
    root = equal_images(tmp_path / "images", content)
    colour = np.broadcast_to(pixels[..., None] if pixels.ndim == 2 else pixels, (SIDE, SIDE, 3))
    for channels, expected in ((1, (colour @ [0.299, 0.587, 0.114])[None]), (3, colour.transpose(2, 0, 1))):
        for protocol in SETTINGS:
            images = images_under(protocol, make, root, channels=channels) * 255
            assert len(images) >= 2
            assert np.abs(images - expected).max() <= (3 if "JPEG" in case else 1), (channels, protocol)


@pytest.mark.parametrize("value", [-1, 65536, 2**31 - 1])
def test_values_of_more_than_16_bits_are_refused(value: int) -> None:
    omniglot = Omniglot(root="", download=False, image_size=8, encoder="pixels")
    values = np.full((8, 8), 65535, np.int32)
    assert not own_image(omniglot, Image.fromarray(values)).any()  # paper is inverted
    values[3, 4] = value
    message = rf"^the image cannot be read \(its values go from {values.min()} to {values.max()}; from 0 to 65535 are read"
    with pytest.raises(DataError, match=message):
        own_image(omniglot, Image.fromarray(values))


def test_a_wide_image_becomes_a_square() -> None:
    assert (decode(png(np.full((1, 300), 90), GREY, 8), name="wide.png", channels=1, image_size=8) == 90).all()


def test_too_little_memory_is_one_message() -> None:
    with pytest.raises(DataError, match=r"data.image_size=30000000: 12 images of 3 x .* more memory than there is"):
        stacked(iter([]), count=12, channels=3, image_size=30_000_000)

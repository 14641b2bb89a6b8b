"""From image files to pixels of one size."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from metacl_run.errors import DataError


def decode(source: bytes | Path, *, name: str, channels: int, image_size: int) -> np.ndarray:
    """[channels, image_size, image_size] uint8 from an image file or its content, resized by Lanczos.

    Raises:
        DataError: naming the file `name`, when it is no image or a broken one.
    """
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            pixels = np.asarray(resized(image.convert("L" if channels == 1 else "RGB"), image_size))
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(f"{name}: this image cannot be decoded ({error}). Replace or remove the file.") from None
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def resized(image: Image.Image, image_size: int) -> Image.Image:
    """The image as a square of `image_size` pixels."""
    if image.size == (image_size, image_size):
        return image
    return image.resize((image_size, image_size), Image.Resampling.LANCZOS)

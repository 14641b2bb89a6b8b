"""From image files to pixels of one size: 8 bits, one ground, upright.

- Numbers of 16 bits are brought to 8 by 255/65535, whatever part of their range an image uses.
- What is transparent shows white, the ground that drawing programs show it on.
- An image that says which side is up (EXIF orientation, as cameras write it) is turned that way.
- PNG and JPEG files alone are decoded, whatever their names, and no other program is ever started.
"""

from __future__ import annotations

import io
import warnings
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from metacl_run.core.errors import DataError
from metacl_run.core.files import regular_file
from metacl_run.data.files.reading import reading
from metacl_run.data.images.signatures import LENGTH, likely_kind

FORMATS = ("PNG", "JPEG")
MOST_PIXELS = 10**8
MOST_BYTES = 2**28
"""Of one image as it is on file: both are known before anything is read or decoded."""
PNG = b"\x89PNG\r\n\x1a\n"
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings an image upright, by its EXIF orientation."""


def decode(source: bytes | Path, *, name: str, channels: int, image_size: int) -> np.ndarray:
    """[channels, image_size, image_size] uint8 from an image file or its content, resized by Lanczos.

    Raises:
        DataError: naming the file `name`, when it is no PNG or JPEG image, or a broken or huge one.
    """
    if isinstance(source, bytes):
        return _decode(io.BytesIO(source), name, channels, image_size)
    with reading(source):
        if regular_file(source).st_size > MOST_BYTES:
            raise OSError(f"more than {MOST_BYTES} bytes")
        file = open(source, "rb")  # noqa: SIM115 - closed below; what goes wrong from here on is not about the path
    with file:
        return _decode(file, name, channels, image_size)


def _decode(file: BinaryIO, name: str, channels: int, image_size: int) -> np.ndarray:
    try:
        head = file.read(LENGTH)
        kind = likely_kind(head)
        if kind is None:
            if head.startswith(PNG):
                _check_sums(file)
            file.seek(0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about a file's metadata
                with Image.open(file, formats=FORMATS) as image:
                    return pixels(image, depth=head[24] if head.startswith(PNG) else 8, channels=channels, size=image_size)
        reason = f"it is {kind}, neither PNG nor JPEG"
    except UnidentifiedImageError:
        reason = "it is no whole PNG or JPEG file"
    except MemoryError:
        reason = "it needs more memory than there is"
    except Exception as error:  # a broken file raises whatever its bytes happen to ask for
        reason = str(error) or type(error).__name__
    raise DataError(f"{name}: this image cannot be decoded ({reason}). Replace or remove the file.")


def _check_sums(file: BinaryIO) -> None:
    """Raises ValueError where a part of a PNG file is not what its checksum says: Pillow would decode it all the same."""
    file.seek(len(PNG))
    while (head := file.read(8))[4:] != b"IEND":
        content = file.read(int.from_bytes(head[:4], "big"))
        if file.read(4) != zlib.crc32(content, zlib.crc32(head[4:])).to_bytes(4, "big"):
            raise ValueError("a part of it is missing, or changed since it was written")


def pixels(image: Image.Image, *, depth: int, channels: int, size: int) -> np.ndarray:
    """[channels, size, size] uint8 from an image; `depth`: bits of a channel, as the file says.

    Raises:
        ValueError: it is too large, or its pixels are of a kind that is not read.
    """
    if image.width * image.height > MOST_PIXELS:
        raise ValueError(f"{image.width} x {image.height} pixels are more than {MOST_PIXELS}")
    turn = UPRIGHT.get(_orientation(image))
    plain = _opaque(image, depth).convert("L" if channels == 1 else "RGB")
    upright = np.asarray(resized(plain if turn is None else plain.transpose(turn), size))
    return upright[None] if channels == 1 else upright.transpose(2, 0, 1)


def _orientation(image: Image.Image) -> int:
    """As EXIF or XMP say; 1, upright, where nothing says so, or nothing that can be read."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # broken metadata raise whatever they like, and are no reason to refuse a picture
        return 1


def _opaque(image: Image.Image, depth: int) -> Image.Image:
    """The image with 8 bits a channel, its transparent parts over white."""
    clear = image.info.get("transparency")  # of a palette by its places, else the one colour that is transparent
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.int64)
        if ((values < 0) | (values > 65535)).any():
            raise ValueError(f"its values go from {values.min()} to {values.max()}; from 0 to 65535 are read, as of 16 bits")
        if clear is not None:
            values[values == clear] = 65535
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK"):
        raise ValueError(f"its pixels are of a kind that is not read: {image.mode}")
    if image.mode not in ("LA", "RGBA"):
        if clear is None:
            return image
        if image.mode == "RGB" and depth == 16:
            raise ValueError("one of its colours of 16 bits is transparent, which cannot be told from its neighbours")
        if image.mode == "L" and depth < 8:  # Pillow has scaled the greys, but not this one
            image.info["transparency"] = clear * 255 // (2**depth - 1)
    colours = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), colours).convert("RGB")


def resized(image: Image.Image, image_size: int) -> Image.Image:
    """The image as a square of `image_size` pixels."""
    if image.size == (image_size, image_size):
        return image
    return image.resize((image_size, image_size), Image.Resampling.LANCZOS)


def stacked(images: Iterable[np.ndarray], *, count: int, channels: int, image_size: int) -> np.ndarray:
    """[count, channels, image_size, image_size] uint8 from so many arrays of one image each.

    Raises:
        DataError: they do not fit in memory.
    """
    try:
        pixels = np.empty((count, channels, image_size, image_size), np.uint8)
        for index, image in enumerate(images):
            pixels[index] = image
    except (MemoryError, OverflowError):
        pass
    else:
        return pixels
    size = count * channels * image_size**2 / 2**30
    raise DataError(
        f"data.image_size={image_size}: {count} images of {channels} x {image_size} x {image_size} bytes take {size:.3g} GiB, "
        "more memory than there is. Take a smaller data.image_size."
    )

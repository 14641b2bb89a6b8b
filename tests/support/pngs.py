"""PNG files written by hand, so that what Pillow reads is compared with what was put there and not with what Pillow wrote."""

from __future__ import annotations

import struct
import zlib

import numpy as np

GREY, COLOUR, PALETTE, GREY_ALPHA, COLOUR_ALPHA = 0, 2, 3, 4, 6
"""Colour types of IHDR."""


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(values: np.ndarray, kind: int, depth: int, *chunks: bytes, size: tuple[int, int] | None = None) -> bytes:
    """A PNG file.

    Args:
        values: [H, W] or [H, W, channels] numbers below 2**depth.
        kind, depth: as IHDR has them.
        chunks: between IHDR and the pixels.
        size: (width, height) that IHDR states, where it is to lie.
    """
    height, width = values.shape[:2]
    flat = values.reshape(height, -1)
    if depth == 16:
        rows = flat.astype(">u2").view(np.uint8)
    elif depth == 8:
        rows = flat.astype(np.uint8)
    else:
        bits = (flat[..., None] >> np.arange(depth - 1, -1, -1)) & 1
        rows = np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1)
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", *(size or (width, height)), depth, kind, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", packed), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def numbers(*values: int) -> bytes:
    """Big-endian 16-bit numbers, as tRNS has them."""
    return struct.pack(f">{len(values)}H", *values)


def oriented(orientation: int) -> bytes:
    """An eXIf chunk that says which side is up."""
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    return chunk(b"eXIf", b"MM\0*" + struct.pack(">IH", 8, 1) + entry + struct.pack(">I", 0))


WHITE, BLACK = (png(np.full((4, 4), level), GREY, 8) for level in (255, 0))
"""Files of one colour."""

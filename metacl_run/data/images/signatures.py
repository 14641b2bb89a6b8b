"""Guesses the kind of a file that is no PNG or JPEG image from its first bytes; decodes nothing."""

from __future__ import annotations

LENGTH = 64
"""First bytes that are looked at."""

STARTS = {
    b"%!PS": "an EPS or PostScript file",
    b"\xc5\xd0\xd3\xc6": "an EPS file",
    b"%PDF": "a PDF file",
    b"GIF8": "a GIF image",
    b"BM": "a BMP image",
    b"II*\0": "a TIFF image",
    b"MM\0*": "a TIFF image",
    b"II+\0": "a TIFF image",
    b"MM\0+": "a TIFF image",
    b"8BPS": "a Photoshop image",
    b"\0\0\1\0": "an icon",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 image",
    b"\xff\x0a": "a JPEG XL image",
    b"\0\0\0\x0cJXL ": "a JPEG XL image",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy array",
    b"PK\3\4": "a zip archive",
    b"\x1f\x8b": "a gzip file",
    b"\0\5\x16\7": "what macOS keeps beside a file",
    b"<svg": "an SVG image",
    b"<?xml": "an XML file, maybe an SVG image",
    b"<!doctype html": "a web page",
    b"<html": "a web page",
    b"version https://git-lfs": "a pointer of Git LFS: git lfs pull brings the file itself",
    **{f"P{number}{blank}".encode(): "a PNM image" for number in range(1, 8) for blank in " \n\r\t"},
}


def likely_kind(head: bytes) -> str | None:
    """What a file with these first bytes most likely is; None: a PNG or JPEG image, or anybody's guess."""
    if not head:
        return "an empty file"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP image"
    if head[4:8] == b"ftyp":
        return "an AVIF or HEIC image" if head[8:11] in (b"avi", b"hei", b"hev", b"mif", b"msf") else "a video"
    start = head.lower() if head[:1] == b"<" else head
    return next((kind for beginning, kind in STARTS.items() if start.startswith(beginning)), None)

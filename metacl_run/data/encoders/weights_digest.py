"""A digest of the files of weights that an encoder reads, for its fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from metacl_run.data.files.cache import cached
from metacl_run.data.files.reading import reading, stamp

CHUNK = 1 << 20
"""Bytes."""


def digest_of(files: Sequence[Path]) -> str:
    """Returns a digest of the content of files; files that have not changed since an earlier run are not read again.

    Raises:
        DataError: one of them cannot be read.
    """

    def make() -> np.ndarray:
        digest = hashlib.sha256()
        for path in files:
            with reading(path), open(path, "rb") as file:
                digest.update(f"{path.name} {path.stat().st_size}\n".encode())
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
        return np.frombuffer(digest.digest(), np.uint8)

    return cached(["weights", *map(stamp, files)], make, folder="digests").tobytes().hex()[:24]

"""Keeps decoded pixels in the user's cache folder, so that a second run starts at once. Losing them loses nothing.

An entry is an .npy file followed by a digest of the file and its key. An entry that was cut short, changed or put there under
another key is made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from metacl_run.core.files import regular_file
from metacl_run.kernels.build import cache_dir

VERSION = 2
"""Part of every key: raise it when decoding changes."""
DIGEST = hashlib.sha256
"""Twice as fast as blake2b where the processor has it built in."""
LENGTH = DIGEST().digest_size


def cached(key: Iterable[object], make: Callable[[], np.ndarray]) -> np.ndarray:
    """Returns the array of an earlier call with the same key, or `make()`, which it stores for the next call.

    A cache that cannot be read or written is ignored. Entries are renamed into place, so processes may share them.
    """
    name = DIGEST("\n".join(map(repr, (VERSION, *key))).encode()).hexdigest()
    try:
        path = cache_dir() / "images" / f"{name[:24]}.npy"
        return _load(path, name)
    except (OSError, ValueError, EOFError, RuntimeError, MemoryError):
        pass
    array = make()
    with contextlib.suppress(OSError, RuntimeError):
        path = cache_dir() / "images" / f"{name[:24]}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        _store(array, path, name)
    return array


def _load(path: Path, name: str) -> np.ndarray:
    """Reads an entry. Raises ValueError unless it is what was stored under this name, byte for byte."""
    content = bytearray(regular_file(path).st_size)
    with open(path, "rb") as file:
        length = file.readinto(content)
    body = memoryview(content)[: max(0, length - LENGTH)]
    if _digest(name, body) != content[len(body) :]:
        raise ValueError("changed since it was stored")
    header = io.BytesIO(body[:1024])  # bytes of the array follow it
    assert np.lib.format.read_magic(header) == (1, 0)
    shape, _, kind = np.lib.format.read_array_header_1_0(header)
    return np.frombuffer(content, kind, int(np.prod(shape)), header.tell()).reshape(shape)


def _store(array: np.ndarray, path: Path, name: str) -> None:
    array, header = np.ascontiguousarray(array), io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    handle, work = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            for part in (header.getvalue(), array.data, _digest(name, header.getvalue(), array.data)):
                file.write(part)
        os.replace(work, path)
    except BaseException:
        os.unlink(work)
        raise


def _digest(name: str, *parts: bytes | memoryview) -> bytes:
    digest = DIGEST(name.encode())
    for part in parts:
        digest.update(part)
    return digest.digest()

"""Keeps decoded pixels and encoded texts in the user's cache folder, so that a second run starts at once. Losing them loses
nothing.

An entry is an .npy file followed by a digest of the file and its key. An entry that was cut short, changed or put there under
another key is made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from metacl_run.core.files import regular_file
from metacl_run.kernels.build import cache_dir

VERSION = 2
"""Part of every key: raise it when decoding changes."""
DIGEST = hashlib.sha256
"""Twice as fast as blake2b where the processor has it built in."""
LENGTH = DIGEST().digest_size
CHUNK = 1 << 20
"""Bytes that are read at once where an entry stays on disk."""
UNUSABLE = (OSError, ValueError, EOFError, RuntimeError, MemoryError)
"""What reading an entry may raise: no such file, a damaged one, no home folder."""


def cached(key: Iterable[object], make: Callable[[], np.ndarray], *, folder: str = "images") -> np.ndarray:
    """Returns the array of an earlier call with the same key, or `make()`, which it stores for the next call.

    A cache that cannot be read or written is ignored. Entries are renamed into place, so processes may share them.
    """
    name = _name(key)
    with contextlib.suppress(*UNUSABLE):
        return _load(_path(folder, name), name)
    array = make()
    with contextlib.suppress(OSError, RuntimeError):
        _store(_path(folder, name), name, array.shape, array.dtype, [array])
    return array


def cached_on_disk(key: Iterable[object], *, folder: str) -> np.ndarray | None:
    """Returns the array that `stored_on_disk` stored under a key, mapped from its file; None: there is none."""
    name = _name(key)
    with contextlib.suppress(*UNUSABLE):
        return _map(_path(folder, name), name)
    return None


def stored_on_disk(
    key: Iterable[object], shape: tuple[int, ...], dtype: np.dtype[Any], blocks: Iterable[np.ndarray], *, folder: str
) -> np.ndarray | None:
    """Stores an array from blocks of its rows, and returns it mapped from its file: it takes memory only where it is used.

    What is changed in the array stays in memory. None: nothing can be stored there, or the disk is full; blocks may be used up.
    """
    name = _name(key)
    with contextlib.suppress(OSError, RuntimeError):
        path = _path(folder, name)
        _store(path, name, shape, dtype, blocks)
        return _map(path, name, trusted=True)
    return None


def _name(key: Iterable[object]) -> str:
    return DIGEST("\n".join(map(repr, (VERSION, *key))).encode()).hexdigest()


def _path(folder: str, name: str) -> Path:
    return cache_dir() / folder / f"{name[:24]}.npy"


def _load(path: Path, name: str) -> np.ndarray:
    """Reads an entry. Raises ValueError unless it is what was stored under this name, byte for byte."""
    content = bytearray(regular_file(path).st_size)
    with open(path, "rb") as file:
        length = file.readinto(content)
    body = memoryview(content)[: max(0, length - LENGTH)]
    if _digest(name, body) != content[len(body) :]:
        raise ValueError("changed since it was stored")
    shape, kind, start = _header(io.BytesIO(body[:1024]))  # bytes of the array follow it
    return np.frombuffer(content, kind, int(np.prod(shape)), start).reshape(shape)


def _map(path: Path, name: str, *, trusted: bool = False) -> np.ndarray:
    """Maps an entry, so that what is written to the array stays in memory. Raises ValueError as `_load`, unless `trusted`."""
    size = regular_file(path).st_size
    with open(path, "rb") as file:
        if not trusted:
            digest, left = DIGEST(name.encode()), size - LENGTH
            while left > 0 and (chunk := file.read(min(CHUNK, left))):
                digest.update(chunk)
                left -= len(chunk)
            if file.read() != digest.digest():
                raise ValueError("changed since it was stored")
            file.seek(0)
        shape, kind, start = _header(file)
        return np.asarray(np.memmap(file, kind, "c", start, shape))


def _header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Reads shape, type and the place where the numbers begin."""
    assert np.lib.format.read_magic(file) == (1, 0)
    shape, _, kind = np.lib.format.read_array_header_1_0(file)
    return shape, kind, file.tell()


def _store(path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], blocks: Iterable[np.ndarray]) -> None:
    """Writes an entry from its rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = io.BytesIO()
    description = {"shape": shape, "fortran_order": False, "descr": np.lib.format.dtype_to_descr(dtype)}
    np.lib.format.write_array_header_1_0(header, description)
    digest = DIGEST(name.encode())
    handle, work = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            numbers = (np.ascontiguousarray(block, dtype).data for block in blocks)
            parts: Iterator[bytes | memoryview] = chain([header.getvalue()], numbers)
            for part in parts:
                file.write(part)
                digest.update(part)
            file.write(digest.digest())
        os.replace(work, path)
    except BaseException:
        os.unlink(work)
        raise


def _digest(name: str, body: memoryview) -> bytes:
    digest = DIGEST(name.encode())
    digest.update(body)
    return digest.digest()

"""Compiles the C++ kernels with the system compiler, once per sources, compiler flags and processor, and loads them.

The kernels are plain C on raw pointers: no torch headers, about a second to compile, called through ctypes. Without a
compiler the callers fall back to torch operations, which are slower and round differently: equal to float rounding, not bit for
bit. A run therefore records which it began with (`name`) and keeps to it. `METACL_KERNELS=off` forces torch operations.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

log = logging.getLogger("metacl_run.kernels")

SOURCES = [Path(__file__).with_name(name) for name in ("norm_relu_pool.cpp", "perceptron.cpp")]
# Reassociation lets the compiler vectorise sums; NaN and infinity keep their meaning, since a diverged run must show.
FLAGS = [
    "-O3",
    "-march=native",
    "-std=c++17",
    "-fPIC",
    "-fno-math-errno",
    "-fassociative-math",
    "-fno-signed-zeros",
    "-fno-trapping-math",
]


def cache_dir() -> Path:
    """Returns the folder of compiled kernels: METACL_CACHE, else the user's cache folder."""
    if chosen := os.environ.get("METACL_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "metacl_run"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return line
    except OSError:
        pass
    return platform.machine()


def _openmp() -> list[str]:
    """Flags that link against the OpenMP runtime torch has already loaded, so that one pool of threads serves both."""
    import torch

    bundled = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*"))
    bundled += sorted((Path(torch.__file__).parent.parent / "torch.libs").glob("libgomp*.so*"))
    return [str(bundled[0])] if bundled else ["-fopenmp"]


OFF = "off"
"""Value of `name` where torch operations are used."""
_enabled: ContextVar[bool] = ContextVar("compiled kernels are enabled", default=True)


def load() -> ctypes.CDLL | None:
    """Returns the compiled kernels; None without a compiler, on macOS or Windows, with METACL_KERNELS=off, inside `without`."""
    library = _library() if _enabled.get() else None
    return None if library is None else library[1]


def name() -> str:
    """Names the library of `load` with a digest of its bytes, or "off": equal names give equal bits on one machine."""
    library = _library() if _enabled.get() else None
    return OFF if library is None else library[0].stem


@contextmanager
def without() -> Iterator[None]:
    """Uses torch operations inside, even where there are compiled kernels."""
    before = _enabled.set(False)
    try:
        yield
    finally:
        _enabled.reset(before)


@functools.cache
def _library() -> tuple[Path, ctypes.CDLL] | None:
    if os.environ.get("METACL_KERNELS", "on") == "off" or platform.system() != "Linux":
        return None
    compiler = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("c++")
    if compiler is None:
        return None
    runtime = _openmp()
    key = "\n".join([*(source.read_text() for source in SOURCES), compiler, *FLAGS, *runtime, _processor()])
    stem = f"kernels-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    try:
        folder = cache_dir()
        folder.mkdir(parents=True, exist_ok=True)
        for stored in (_stored(folder, stem), None):
            library = stored or _compiled(folder, stem, compiler, runtime)
            try:
                return library, ctypes.CDLL(str(library))
            except OSError:  # its bytes are right, but it does not load
                library.unlink(missing_ok=True)
                if stored is None:
                    raise
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:  # RuntimeError: there is no home folder
        log.warning("no compiled kernels (%s): torch operations are used, which are slower and round differently", error)
    return None


def _stored(folder: Path, stem: str) -> Path | None:
    """Finds the library of an earlier process. Deletes one with other bytes than its name says: loading it could crash."""
    for path in sorted(folder.glob(f"{stem}*.so")):
        if path.stem == f"{stem}-{_digest(path)}":
            return path
        path.unlink(missing_ok=True)
    return None


def _compiled(folder: Path, stem: str, compiler: str, runtime: list[str]) -> Path:
    """Compiles the library, and names it after its own bytes."""
    with tempfile.TemporaryDirectory(dir=folder) as work:  # renamed into place: two processes may compile at once
        built, linked = [str(Path(work, f"{source.stem}.o")) for source in SOURCES], Path(work, f"{stem}.so")
        commands = [
            [compiler, *FLAGS, "-fopenmp", "-c", str(source), "-o", part] for source, part in zip(SOURCES, built, strict=True)
        ]
        for command in [*commands, [compiler, "-shared", *built, *runtime, "-o", str(linked)]]:
            subprocess.run(command, check=True, capture_output=True, timeout=120)
        with open(linked, "rb") as file:
            os.fsync(file.fileno())
        library = folder / f"{stem}-{_digest(linked)}.so"
        os.replace(linked, library)
    return library


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]

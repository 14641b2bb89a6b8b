"""Compiles the C++ kernels with the system compiler, once per sources, compiler flags and processor, and loads them.

The kernels are plain C on raw pointers: no torch headers, about a second to compile, called through ctypes. Without a
compiler the callers fall back to torch operations with the same result, only slower; `METACL_KERNELS=off` forces that.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

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
    """Where compiled kernels are kept: METACL_CACHE, else the user's cache folder."""
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
    """Link against the OpenMP runtime torch has already loaded, so that one pool of threads serves both."""
    import torch

    bundled = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*"))
    bundled += sorted((Path(torch.__file__).parent.parent / "torch.libs").glob("libgomp*.so*"))
    return [str(bundled[0])] if bundled else ["-fopenmp"]


@functools.cache
def load() -> ctypes.CDLL | None:
    """The compiled kernels, or None where they cannot be had (no compiler, macOS or Windows, METACL_KERNELS=off)."""
    if os.environ.get("METACL_KERNELS", "on") == "off" or platform.system() != "Linux":
        return None
    compiler = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("c++")
    if compiler is None:
        return None
    runtime = _openmp()
    key = "\n".join([*(source.read_text() for source in SOURCES), compiler, *FLAGS, *runtime, _processor()])
    name = f"kernels-{hashlib.sha256(key.encode()).hexdigest()[:16]}.so"
    try:
        folder = cache_dir()
        folder.mkdir(parents=True, exist_ok=True)
        library = folder / name
        if not library.exists():
            with tempfile.TemporaryDirectory(dir=folder) as work:  # renamed into place: two processes may compile at once
                built, linked = [str(Path(work, f"{source.stem}.o")) for source in SOURCES], Path(work, name)
                commands = [
                    [compiler, *FLAGS, "-fopenmp", "-c", str(source), "-o", each]
                    for source, each in zip(SOURCES, built, strict=True)
                ]
                for command in [*commands, [compiler, "-shared", *built, *runtime, "-o", str(linked)]]:
                    subprocess.run(command, check=True, capture_output=True, timeout=120)
                os.replace(linked, library)
        return ctypes.CDLL(str(library))
    except (OSError, subprocess.SubprocessError):
        return None

"""Says whether there is Triton, whose kernels are compiled for a CUDA card when they are first called."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil


@functools.cache
def available() -> bool:
    """Whether Triton is installed, as with torch's wheels for CUDA on Linux, and the C compiler that its launches need.

    `METACL_KERNELS=off` says no.
    """
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    off = os.environ.get("METACL_KERNELS", "on") == "off"
    return not off and compiler is not None and importlib.util.find_spec("triton") is not None

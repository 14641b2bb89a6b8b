"""Says whether there is Triton, whose kernels are compiled for a CUDA card when they are first called."""

from __future__ import annotations

import functools
import importlib.util
import os


@functools.cache
def available() -> bool:
    """Whether Triton is installed; torch's wheels for CUDA on Linux bring it. `METACL_KERNELS=off` says no."""
    return os.environ.get("METACL_KERNELS", "on") != "off" and importlib.util.find_spec("triton") is not None

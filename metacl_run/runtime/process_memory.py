"""Process memory: malloc settings for large tensors, and peak usage."""

from __future__ import annotations

import ctypes
import platform
import sys
from pathlib import Path

import torch

# Parameters of glibc's mallopt, from <malloc.h>.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> bool:
    """Makes glibc reuse freed memory for large tensors; returns whether it accepted.

    Without this every CPU tensor above a few MiB is a fresh mapping whose pages fault one by one: writing it can take
    longer than computing it. It has an effect on Linux with glibc only. Call it once, before the first tensors.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 64 << 20))
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)


def peak_memory_mb(device: torch.device | str = "cpu") -> float:
    """Returns the peak memory of this process so far in MiB: resident memory, or torch's allocations on a CUDA device."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        status = ""
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 1024)

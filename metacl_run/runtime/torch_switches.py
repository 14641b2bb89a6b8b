"""Torch's process-wide switches, which a run sets (`device.Gpu.apply`) in the process of a program that calls it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def torch_switches_kept() -> Iterator[None]:
    """Restores them at the end; the current CUDA device stays, and CUBLAS_WORKSPACE_CONFIG, which is read once."""
    matmul, convolution, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn  # type: ignore[attr-defined]
    before = (
        *(torch.get_num_threads(), torch.get_deterministic_debug_mode(), torch.utils.deterministic.fill_uninitialized_memory),  # type: ignore[attr-defined]
        *(matmul.fp32_precision, convolution.fp32_precision, cudnn.benchmark),
    )
    try:
        yield
    finally:
        threads, deterministic, filled, matmul.fp32_precision, convolution.fp32_precision, cudnn.benchmark = before
        torch.set_num_threads(threads)
        torch.set_deterministic_debug_mode(deterministic)
        torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]

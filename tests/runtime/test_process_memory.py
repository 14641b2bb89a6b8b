from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from metacl_run.runtime.process_memory import peak_memory_mb

PROBE = """
import torch
from metacl_run.runtime.process_memory import keep_freed_memory, peak_memory_mb
kept = keep_freed_memory()
before = peak_memory_mb()
tensor = torch.ones(64 << 20)
places = {(tensor.data_ptr(), id(tensor := None), (tensor := torch.ones(1 << 20)).data_ptr())[0] for _ in range(5)}
print(kept, peak_memory_mb() - before, len(places))
"""


def test_peak_counts_what_was_held_and_let_go() -> None:
    result = subprocess.run([sys.executable, "-c", PROBE], check=True, capture_output=True, text=True)
    kept, rise, _ = result.stdout.split()
    assert 200 < float(rise) < 400  # the tensor is 256 MiB
    assert kept == str(platform.system() == "Linux" and platform.libc_ver()[0] == "glibc")


def test_peak_is_at_least_what_python_needs() -> None:
    assert peak_memory_mb() > 20


@pytest.mark.gpu
def test_peak_of_a_cuda_device() -> None:
    import torch

    tensor = torch.ones(16 << 20, device="cuda")
    assert peak_memory_mb("cuda") >= 64
    del tensor

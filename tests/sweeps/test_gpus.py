"""Places on GPUs: one GPU has the same places by whatever name a sweep knows it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from metacl_run.core.variables import PLACE_ON_GPU
from metacl_run.sweeps import gpus

H100 = "NVIDIA H100 80GB HBM3"
TWO = f"GPU 0: {H100} (UUID: GPU-1a2b-3c)\nGPU 1: {H100} (UUID: GPU-9d-00)\n"
DIVIDED = f"{TWO}  MIG 3g.40gb     Device  0: (UUID: MIG-7f-0)\n  MIG 3g.40gb     Device  1: (UUID: MIG-7f-1)\n"
MIXED = TWO.replace(H100, "NVIDIA T4", 1)


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A text in this file is what `nvidia-smi -L` prints."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "nvidia-smi"
    program.write_text(f'#!/bin/sh\n[ "$*" = "-L" ] && cat {folder}/text\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return folder / "text"


def test_sweeps_that_name_a_gpu_differently_share_its_places(
    tool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool.write_text(TWO)
    taken = []
    with ExitStack() as jobs:
        for names in (None, "0", "GPU-1a2b-3c", "GPU-1a", None, "1"):
            if names is None:
                monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
            else:
                monkeypatch.setenv("CUDA_VISIBLE_DEVICES", names)
            environment = jobs.enter_context(gpus.one_gpu(tmp_path / "locks"))
            taken.append((environment["CUDA_VISIBLE_DEVICES"], environment[PLACE_ON_GPU]))
    assert taken == [("GPU-1a2b-3c", "0"), ("0", "1"), ("GPU-1a2b-3c", "2"), ("GPU-1a", "3"), ("GPU-9d-00", "0"), ("1", "1")]


@pytest.mark.parametrize(
    ("printed", "names", "full"),
    [
        (TWO, ["1", "0", "2"], ["GPU-9d-00", "GPU-1a2b-3c", "2"]),  # there is no third
        (TWO, ["GPU-", "GPU-9", "MIG-x"], ["GPU-", "GPU-9d-00", "MIG-x"]),  # which of the two is not said
        (DIVIDED, ["0", "1", "GPU-9d-00", "MIG-7f-1"], ["GPU-1a2b-3c", "MIG-7f-0", "MIG-7f-0", "MIG-7f-1"]),
        (MIXED, ["0", "GPU-9d"], ["0", "GPU-9d-00"]),  # CUDA orders them by speed
        ("", ["0", "GPU-9d"], ["0", "GPU-9d"]),
    ],
)
def test_the_full_name_of_a_gpu(printed: str, names: list[str], full: list[str], tool: Path) -> None:
    tool.write_text(printed)
    assert gpus.full_names(names) == full


def test_numbers_count_as_cuda_does(tool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool.write_text(MIXED)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert gpus.full_names(["0", "1"]) == ["GPU-1a2b-3c", "GPU-9d-00"]


def test_a_tool_that_fails_changes_no_name(tool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpus.full_names(["0"]) == ["0"]  # it has no text to print
    assert gpus.visible() == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with gpus.one_gpu(tmp_path / "locks") as environment:
        assert environment == {"CUDA_VISIBLE_DEVICES": "0", PLACE_ON_GPU: "0"}

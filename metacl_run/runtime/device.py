"""Where and how a run computes: device, engine, precision, memory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le

from metacl_run.core.bounds import Examples, Positive
from metacl_run.core.errors import require, require_all
from metacl_run.core.variables import PLACE_ON_GPU
from metacl_run.inner.engine import Kind

CPU_MEMORY_GB = 0.8
CUDA_MEMORY_SHARE = 0.6
LATER_SHARE = 1 / 3
"""The memory of a job on a GPU, as a share of that of the job before it: together they have at most 90% of the GPU."""
DEFAULT_THREADS = torch.get_num_threads()
"""Torch's own choice, read before an earlier job of the same sweep could change it."""


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """Settings of the group `gpu`.

    Attributes:
        device: "auto" uses CUDA if there is a CUDA device.
        engine: see `inner/engine.py`. "auto" is vmap on the CPU, where it was measured to be the fastest, and cuda_graph on
            CUDA in one process.
        precision: "tf32" lets CUDA multiply float32 with 10-bit mantissas. "bf16" runs the network in bfloat16 with float32
            parameters: in second-order meta-learning its gradients can be far off, so the run measures and reports the error.
        chunk: episodes computed at once; None: the largest chunk whose predicted memory fits into memory_gb.
        memory_gb: memory for the episodes computed at once, in 1e9 bytes; None: 0.8 on the CPU; on CUDA 60% of the GPU, of
            which a second job that a sweep starts on the GPU takes a third, and so on. The number is fixed and does not depend
            on the free memory, since the chunk determines the order of summation and so the last bits.
        deterministic: choose operations that give the same numbers in repeated runs, bit for bit; torch warns if there is none.
        threads: CPU threads; None: torch's choice.
    """

    device: Literal["auto", "cpu", "cuda"]
    engine: Literal["auto", "loop", "vmap", "compile", "cuda_graph"]
    precision: Literal["float32", "tf32", "bf16", "float64"]
    chunk: Examples | None
    memory_gb: Annotated[Positive, Le(10**6)] | None
    deterministic: bool
    threads: Annotated[int, Ge(1), Le(1024)] | None

    def __post_init__(self) -> None:
        cuda, one_by_one, on_cpu = torch.cuda.is_available(), self.engine == "loop", self.torch_device.type == "cpu"
        require_all(
            (self.device != "cuda" or cuda, "device", self.device, "there is no CUDA device here; use gpu=cpu or gpu=auto"),
            (
                self.chunk is None or not one_by_one,
                "chunk",
                self.chunk,
                "must be null with engine=loop, which takes one episode at a time",
            ),
            (
                not (self.engine == "cuda_graph" and on_cpu),
                "engine",
                self.engine,
                "needs CUDA; on the CPU use loop, vmap, compile or auto",
            ),
            (
                not (self.precision == "tf32" and on_cpu),
                "precision",
                self.precision,
                "needs CUDA; on the CPU use float32, bf16 or float64",
            ),
        )

    @property
    def torch_device(self) -> torch.device:
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)

    @property
    def engine_kind(self) -> Kind:
        """The engine of a run in one process. "auto" is a graph on CUDA."""
        if self.engine != "auto":
            return self.engine
        return "cuda_graph" if self.torch_device.type == "cuda" else "vmap"

    def engine_kind_of(self, num_ranks: int) -> Kind:
        """The engine of a run in so many processes: the sum over them is not captured."""
        return "vmap" if self.engine == "auto" and num_ranks > 1 else self.engine_kind

    @property
    def dtype(self) -> torch.dtype:
        """The type of parameters and data."""
        return torch.float64 if self.precision == "float64" else torch.float32

    @property
    def compute_dtype(self) -> torch.dtype:
        """The type of the network's own arithmetic."""
        return torch.bfloat16 if self.precision == "bf16" else self.dtype

    @property
    def memory_bytes(self) -> int:
        if self.memory_gb is not None:
            return int(self.memory_gb * 1e9)
        if self.torch_device.type == "cuda":
            share = CUDA_MEMORY_SHARE * LATER_SHARE ** int(os.environ.get(PLACE_ON_GPU, "0"))
            return int(share * torch.cuda.get_device_properties(self.torch_device).total_memory)
        return int(CPU_MEMORY_GB * 1e9)

    def check_ranks(self, local_count: int) -> None:
        """Refuses settings that several processes, `local_count` of them on this machine, cannot use. Raises SettingError."""
        graph = (
            "captures a whole step, and capturing the sum over processes in it has not been tried; use engine=vmap or compile"
        )
        require(self.engine != "cuda_graph", "engine", self.engine, graph)
        if self.torch_device.type == "cuda":
            most = torch.cuda.device_count()
            allowed = f"of {local_count} processes on one machine each needs a device of its own, but there are {most}; gpu=cpu"
            require(local_count <= most, "device", self.device, allowed + " shares out the processor instead")

    def apply(self, local_rank: int) -> None:
        """Sets torch's process-wide switches, and the CUDA device for this process's local rank."""
        torch.set_num_threads(self.threads or DEFAULT_THREADS)
        if self.engine_kind == "compile":
            torch.use_deterministic_algorithms(self.deterministic, warn_only=True)
        else:  # the same, but for the compiler's own switch, whose import takes seconds
            torch.set_deterministic_debug_mode("warn" if self.deterministic else "default")
        if self.torch_device.type == "cuda":
            torch.cuda.set_device(local_rank)
            if self.deterministic:
                os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
            # Deterministic algorithms also fill every new tensor with NaN, a launch each, against reading what nobody wrote.
            torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
            multiply = "tf32" if self.precision == "tf32" else "ieee"
            torch.backends.cuda.matmul.fp32_precision = multiply
            torch.backends.cudnn.conv.fp32_precision = multiply  # type: ignore[attr-defined]
            torch.backends.cudnn.benchmark = not self.deterministic

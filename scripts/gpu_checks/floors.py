"""Measures what no program on this card can be faster than: a launch, a byte, a floating-point operation."""

from __future__ import annotations

import platform
from functools import partial
from pathlib import Path
from typing import Any

import torch

from gpu_checks.measuring import Results, median_ms

LAUNCHES = 1000


def run(device: str, out: Path, quick: bool) -> None:
    results = Results(out)
    results.add("machine", _machine(device))
    side, numbers = (256, 10**5) if quick else (8192, 2**28)
    results.attempt("launch", partial(_launch, device))
    results.attempt("bytes", partial(_bytes, device, numbers))
    for precision in ("ieee", "tf32", "bf16") if device == "cuda" else ("ieee",):
        results.attempt(f"operations, {precision}", partial(_operations, device, side, precision))


def _machine(device: str) -> dict[str, Any]:
    from metacl_run.core.version import __version__

    about = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "metacl_run": __version__,
        "device": platform.machine(),
    }
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        about |= {
            "device": properties.name,
            "memory_gb": round(properties.total_memory / 1e9, 1),
            "cudnn": torch.backends.cudnn.version(),
        }
    return about


def _launch(device: str) -> dict[str, Any]:
    """Microseconds of an operation on one number, called and in a graph."""
    x = torch.zeros(1, device=device)

    def many() -> None:
        for _ in range(LAUNCHES):
            x.add_(1)

    times = {"called_us": 1e3 * median_ms(many, device, in_graph=False) / LAUNCHES}
    if device == "cuda":
        times["in_graph_us"] = 1e3 * median_ms(many, device) / LAUNCHES
    return {name: round(value, 3) for name, value in times.items()}


def _bytes(device: str, numbers: int) -> dict[str, Any]:
    source = torch.rand(numbers, device=device)
    target = torch.empty_like(source)
    milliseconds = median_ms(lambda: target.copy_(source), device)
    return {"gb_per_s": round(2 * 4 * numbers / milliseconds / 1e6, 1)}


def _operations(device: str, side: int, precision: str) -> dict[str, Any]:
    torch.backends.cuda.matmul.fp32_precision = "tf32" if precision == "tf32" else "ieee"
    a = torch.rand(side, side, device=device, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    return {"tflop_per_s": round(2 * side**3 / median_ms(lambda: a @ a, device) / 1e9, 2)}

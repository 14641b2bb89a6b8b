"""Times observations of methods that take small steps on a perceptron, by the perceptron kernels and by torch operations."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

from gpu_checks.measuring import Results
from gpu_checks.units import timed_units
from metacl_run.kernels import perceptron


def run(device: str, out: Path, quick: bool) -> None:
    results = Results(out)
    units = 3 if quick else 12
    for seeds in (2,) if quick else (1, 5, 132):
        numbers = ",".join(map(str, range(seeds)))
        for algo in ("er", "mer", "la_maml"):
            overrides = [f"algo={algo}", f"seeds=[{numbers}]"]
            results.attempt(f"{algo}, {seeds} seeds, kernels", lambda: _timed(overrides, device, units, True))  # noqa: B023
            results.attempt(f"{algo}, {seeds} seeds, torch", lambda: _timed(overrides, device, units, False))  # noqa: B023


def _timed(overrides: list[str], device: str, units: int, kernels: bool) -> dict[str, Any]:
    """On a card both forms are captured as a graph, as runs are."""
    with nullcontext() if kernels else mock.patch.object(perceptron, "usable", return_value=False):
        return timed_units(overrides, device, units)

"""Sine waves: the few-shot regression of MAML (Finn, Abbeel, Levine 2017, arXiv 1703.03400, section 5.1).

    y = A sin(x + phase), with amplitude A, phase and x uniform

Differences from the paper:
 1. The paper has one task. With several tasks, each has an equal slice of the range of amplitudes, from the lowest to the
    highest.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from metacl_run.core.errors import require, require_all
from metacl_run.data.sources.source import FunctionFamily


@dataclass(frozen=True, kw_only=True)
class SineWaves(FunctionFamily):
    """All sine waves with an amplitude and a phase in a range."""

    amplitude_low: float
    amplitude_high: float
    """Ends of the range of amplitudes, of all tasks together."""
    phase_low: float
    phase_high: float
    """Ends of the range of phases, in radians."""
    x_low: float
    x_high: float
    """Ends of the range of inputs."""

    num_parameters = 2

    def __post_init__(self) -> None:
        ranges = {name: (getattr(self, f"{name}_low"), getattr(self, f"{name}_high")) for name in ("amplitude", "phase", "x")}
        require_all(*((a <= b, f"{name}_low", a, f"must be at most {name}_high={b}") for name, (a, b) in ranges.items()))

    @property
    def example_shape(self) -> tuple[int, ...]:
        return (1,)

    def check_tasks(self, num_tasks: int) -> None:
        divisible = num_tasks == 1 or self.amplitude_low < self.amplitude_high
        require(divisible, "num_tasks", num_tasks, "must be 1 with amplitude_low=amplitude_high: tasks divide their range")

    def task_names(self, num_tasks: int) -> list[str]:
        return [f"A {low:.3g}..{high:.3g}" for low, high in itertools.pairwise(self._amplitudes(num_tasks))]

    def draw(self, tasks: np.ndarray, num_tasks: int, uniforms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ends = self._amplitudes(num_tasks)
        amplitude = _between(ends[tasks], ends[tasks + 1], uniforms[..., 0])
        phase = _between(self.phase_low, self.phase_high, uniforms[..., 1])
        x = _between(self.x_low, self.x_high, uniforms[..., 2:])  # [..., K]
        y = amplitude[..., None] * np.sin(x + phase[..., None])
        return x[..., None], y[..., None]

    def _amplitudes(self, num_tasks: int) -> np.ndarray:
        """[num_tasks + 1]: task t has the amplitudes from the t-th to the next."""
        return np.linspace(self.amplitude_low, self.amplitude_high, num_tasks + 1)


def _between(low: np.ndarray | float, high: np.ndarray | float, uniform: np.ndarray) -> np.ndarray:
    return low + (high - low) * uniform

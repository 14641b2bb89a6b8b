"""Sine waves: the few-shot regression of MAML, and streams of it.

An episode is one function, y = A sin(x + phase), seen at `shots` points (Finn, Abbeel, Levine 2017, arXiv 1703.03400, section
5.1). Amplitude, phase and points are uniform; every episode draws its own, so that every function met is a new one.

Differences from the paper:
 1. The paper has one task. Of several, each takes an equal slice of the range of amplitudes, from the lowest to the highest.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metacl_run.core.bounds import Examples, Tasks
from metacl_run.core.errors import require, require_all
from metacl_run.core.types import Episode
from metacl_run.data.streams.base import FewShotData, FewShotStream, Split
from metacl_run.data.streams.sampling import draw_batches
from metacl_run.scoring.objectives import REGRESSION, Objective


@dataclass(frozen=True, kw_only=True)
class Sinusoid(FewShotData):
    """Settings of the functions; nothing is read and nothing is stored."""

    ways = 1

    shots: Examples
    """Support points of a function."""
    queries: Examples
    """Query points of a function."""
    num_tasks: Tasks
    """Tasks in the stream."""
    amplitude_low: float
    amplitude_high: float
    """Ends of the range of amplitudes, of all tasks together."""
    phase_low: float
    phase_high: float
    """Ends of the range of phases, in radians."""
    x_low: float
    x_high: float
    """Ends of the range of inputs."""

    def __post_init__(self) -> None:
        ranges = {name: (getattr(self, f"{name}_low"), getattr(self, f"{name}_high")) for name in ("amplitude", "phase", "x")}
        require_all(*((a <= b, f"{name}_low", a, f"must be at most {name}_high={b}") for name, (a, b) in ranges.items()))
        same = self.num_tasks == 1 or self.amplitude_low < self.amplitude_high
        require(same, "num_tasks", self.num_tasks, "must be 1 with amplitude_low=amplitude_high: tasks share out their range")

    @property
    def objective(self) -> Objective:
        return REGRESSION

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (1,)

    def count_tasks(self) -> int:
        return self.num_tasks

    def check(self, *, images_per_class: int, replay_classes: int | None, split: Split) -> None:
        """A function has as many points as anyone asks for, and every split as many functions."""

    def load(self, seeds: Sequence[int]) -> SineStream:
        ends = np.linspace(self.amplitude_low, self.amplitude_high, self.num_tasks + 1)
        names = [f"A {low:.3g}..{high:.3g}" for low, high in itertools.pairwise(ends)]
        return SineStream(
            task_names=[names] * len(seeds),
            amplitudes=ends,
            phase=(self.phase_low, self.phase_high),
            x=(self.x_low, self.x_high),
            device=torch.device("cpu"),
        )


@dataclass(frozen=True, kw_only=True)
class SineStream(FewShotStream):
    """Draws functions and points. Shapes: R replicates, E episodes, T tasks, K points."""

    task_names: list[list[str]]
    amplitudes: np.ndarray
    """[T + 1]: task t has those from the t-th to the next."""
    phase: tuple[float, float]
    x: tuple[float, float]
    device: torch.device

    def to(self, device: torch.device) -> SineStream:
        return dataclasses.replace(self, device=device)

    def sample(
        self,
        tasks: np.ndarray,
        split: Split,
        *,
        shots: int,
        queries: int,
        rngs: Sequence[np.random.Generator],
        classes: np.ndarray | None = None,
        batches: tuple[int, int] | None = None,
    ) -> Episode:
        uniforms = np.empty((*tasks.shape, 2 + shots + queries))
        inner = np.empty((*tasks.shape, *(batches or (0, 0))), np.int64)
        for replicate, given in enumerate(rngs):
            rng = given.spawn(1)[0] if split == "validation" else given  # else it would be the same draws as test
            rng.random(out=uniforms[replicate])
            if batches:
                inner[replicate] = draw_batches(rng, tasks.shape[1], *batches, support=shots)
        amplitude = _between(self.amplitudes[tasks], self.amplitudes[tasks + 1], uniforms[..., 0])
        phase = _between(*self.phase, uniforms[..., 1])
        x = _between(*self.x, uniforms[..., 2:])  # [R, E, K]
        y = amplitude[..., None] * np.sin(x + phase[..., None])
        support_x, query_x = self._points(x, shots)
        support_y, query_y = self._points(y, shots)
        return Episode(support_x, support_y, query_x, query_y, torch.from_numpy(inner).to(self.device))

    def _points(self, values: np.ndarray, shots: int) -> tuple[Tensor, Tensor]:
        """Support and query part of [R, E, K], both [R, E, points, 1]."""
        tensor = torch.from_numpy(values).to(self.device, torch.float32).unsqueeze(-1)
        return tensor[:, :, :shots], tensor[:, :, shots:]


def _between(low: np.ndarray | float, high: np.ndarray | float, uniform: np.ndarray) -> np.ndarray:
    return low + (high - low) * uniform

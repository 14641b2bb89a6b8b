"""The sine functions of OML's incremental regression (Javed and White 2019, arXiv 1905.12588, section 4.1, and its code).

    y = amplitude * sin(x + phase), amplitude 5 * (U(0, 1) + 0.02), phase U(0, pi), x U(-5, 5)

Differences from the code:
 1. The examples of a function are a fixed set, from which a trajectory draws without replacement; in the code they are drawn
    anew at every step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from metacl_run.core.bounds import Seed
from metacl_run.core.randomness import Purpose, generator
from metacl_run.data.sources.source import FunctionSource


@dataclass(frozen=True, kw_only=True)
class SineFunctions(FunctionSource):
    """Sine functions with a fixed set of examples each."""

    generator_seed: Seed
    """Decides what the functions and their examples are."""

    @property
    def example_shape(self) -> tuple[int, ...]:
        return (1,)

    def draw(self, functions: int, examples: int) -> tuple[np.ndarray, np.ndarray]:
        rng = generator(Purpose.FUNCTIONS, self.generator_seed)
        amplitude, phase = 5 * (rng.random((functions, 1)) + 0.02), math.pi * rng.random((functions, 1))
        x = rng.uniform(-5, 5, (functions, examples))
        y = amplitude * np.sin(x + phase)
        return x[..., None], y[..., None]

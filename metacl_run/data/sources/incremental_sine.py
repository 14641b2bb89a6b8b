"""Sine functions learned one after another: the incremental regression benchmark of OML (Javed and White 2019, arXiv
1905.12588, section 4.1, and its code).

Of the functions learned together, the input says which one is meant: a one-hot of its place, then x.

    y = amplitude * sin(x + phase), amplitude 5 * (U(0, 1) + 0.02), phase U(0, pi), x U(-5, 5)

Differences from the code:
 1. In meta-training every trajectory draws which place names which of its functions, as the code of July 2020 does (before, the
    k-th function learned had place k, so that the input told how long ago that was); at meta-test it is the k-th, as there.
 2. A function's examples are a fixed pool, of which a trajectory draws without replacement, not new ones at every step.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metacl_run.core.bounds import Classes, Examples, Seed
from metacl_run.core.errors import SettingError
from metacl_run.core.randomness import Purpose, generator
from metacl_run.data.streams.base import ConceptData, ConceptPool, Half
from metacl_run.scoring.objectives import REGRESSION, Objective


@dataclass(frozen=True, kw_only=True)
class SinePool(ConceptPool):
    """All examples of all functions; the last functions are the meta-test ones."""

    place_matters = True

    x: Tensor
    """[functions, examples]."""
    y: Tensor
    """[functions, examples]."""
    meta_train: int
    """How many of the functions, from the first, are for meta-training."""
    together: int
    """Places that the input can name."""

    def to(self, device: torch.device) -> SinePool:
        return dataclasses.replace(self, x=self.x.to(device), y=self.y.to(device))

    def gather(self, half: Half, concepts: np.ndarray, examples: np.ndarray, places: np.ndarray) -> tuple[Tensor, Tensor]:
        which = torch.from_numpy(np.array(concepts if half == "meta_train" else self.meta_train + concepts)).to(self.x.device)
        example = torch.from_numpy(np.array(examples)).to(self.x.device)
        place = torch.nn.functional.one_hot(torch.from_numpy(np.array(places)), self.together).to(self.x)
        x, y = self.x[which, example].unsqueeze(-1), self.y[which, example].unsqueeze(-1)
        return torch.cat([place, x], -1), y


@dataclass(frozen=True, kw_only=True)
class IncrementalSine(ConceptData):
    """Functions to learn, drawn by the program."""

    meta_train_functions: Classes
    """Functions to meta-train on."""
    meta_test_functions: Classes
    """Others, to meta-test on."""
    together: Classes
    """Most functions that are learned together: the length of the one-hot."""
    learn_examples: Examples
    """Examples of each function that are learned at meta-test."""
    test_examples: Examples
    """Further examples of each function, held out at meta-test."""
    generator_seed: Seed
    """Decides what the functions are."""

    @property
    def objective(self) -> Objective:
        return REGRESSION

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.together + 1,)

    def count_concepts(self, half: Half) -> int:
        return self.meta_train_functions if half == "meta_train" else self.meta_test_functions

    def count_examples(self) -> tuple[int, int]:
        return self.learn_examples, self.test_examples

    def outputs_for(self, most: int) -> int:
        return 1

    def check_concepts(self, together: int) -> None:
        if together > self.together:
            raise SettingError("together", self.together, f"must be at least {together}, as many as are learned together")

    def load_concepts(self) -> SinePool:
        rng = generator(Purpose.FUNCTIONS, self.generator_seed)
        functions = self.meta_train_functions + self.meta_test_functions
        amplitude, phase = 5 * (rng.random((functions, 1)) + 0.02), math.pi * rng.random((functions, 1))
        x = rng.uniform(-5, 5, (functions, self.learn_examples + self.test_examples))
        y = amplitude * np.sin(x + phase)
        return SinePool(
            x=torch.from_numpy(x).float(),
            y=torch.from_numpy(y).float(),
            meta_train=self.meta_train_functions,
            together=self.together,
        )

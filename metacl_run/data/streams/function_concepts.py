"""Functions learned one after another: the stream of a set of functions for protocol `meta_continual`.

The input says which of the functions learned together is meant: a one-hot vector of its place, then x, as in OML's incremental
regression (Javed and White 2019, arXiv 1905.12588, section 4.1, and its code).

Differences from the code:
 1. In meta-training, every trajectory assigns places to its functions at random, as the code of July 2020 does (in earlier code
    the k-th function learned had place k, so that the input revealed how long ago it was learned); at meta-test the k-th
    function has place k, as in that code.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from metacl_run.core.bounds import Classes, Examples
from metacl_run.core.errors import require
from metacl_run.core.transfer import upload
from metacl_run.data.sources.source import FunctionSource
from metacl_run.data.streams.concept_stream import ConceptPool, ConceptStream, MetaSplit
from metacl_run.scoring.objectives import REGRESSION, Objective


@dataclass(frozen=True, kw_only=True)
class FunctionConcepts(ConceptStream):
    """Functions for meta-training, and others for meta-test."""

    source: FunctionSource
    meta_train_functions: Classes
    """Functions for meta-training."""
    meta_test_functions: Classes
    """Other functions, for meta-test."""
    together: Classes
    """Largest number of functions learned in one sequence: the length of the one-hot vector."""
    learn_examples: Examples
    """Examples of each function that are learned at meta-test."""
    test_examples: Examples
    """Further examples of each function, held out at meta-test."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        (size,) = self.source.example_shape
        return (self.together + size,)

    @property
    def objective(self) -> Objective:
        return REGRESSION

    def count_concepts(self, split: MetaSplit) -> int:
        return self.meta_train_functions if split == "meta_train" else self.meta_test_functions

    def count_examples(self) -> tuple[int, int]:
        return self.learn_examples, self.test_examples

    def outputs_for(self, most: int) -> int:
        return 1

    def check(self, together: int) -> None:
        least = f"must be at least {together}, as many as are learned together"
        require(together <= self.together, "together", self.together, least)

    def load(self, seeds: Sequence[int]) -> FunctionConceptPool:
        functions, examples = self.meta_train_functions + self.meta_test_functions, sum(self.count_examples())
        x, y = (torch.from_numpy(values).float() for values in self.source.draw(functions, examples))
        return FunctionConceptPool(x=x, y=y, meta_train=self.meta_train_functions, together=self.together)


@dataclass(frozen=True, kw_only=True)
class FunctionConceptPool(ConceptPool):
    """All examples of all functions; the last functions are the meta-test ones."""

    place_matters = True

    x: Tensor
    """[functions, examples, size]."""
    y: Tensor
    """[functions, examples, dimensions]."""
    meta_train: int
    """How many of the functions, from the first, are for meta-training."""
    together: int
    """Places that the input can name."""

    def to(self, device: torch.device) -> FunctionConceptPool:
        return dataclasses.replace(self, x=self.x.to(device), y=self.y.to(device))

    def gather(self, split: MetaSplit, concepts: np.ndarray, examples: np.ndarray, places: np.ndarray) -> tuple[Tensor, Tensor]:
        numbers = concepts if split == "meta_train" else self.meta_train + concepts
        function, example, known_by = upload([numbers, examples, places], self.x.device)
        place = one_hot(known_by, self.together).to(self.x)
        return torch.cat([place, self.x[function, example]], -1), self.y[function, example]

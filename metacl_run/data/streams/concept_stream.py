"""The interface of a stream for protocol `meta_continual`: concepts, classes or functions, learned one after another."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from metacl_run.data.streams.stream import Pool, Stream

MetaSplit = Literal["meta_train", "meta_test"]


class ConceptPool(Pool):
    """The loaded concepts, classes or functions, that are learned one after another; the same for all seeds."""

    place_matters = False
    """Whether inputs and targets of a concept depend on its place; if not, the place is the target."""

    @abc.abstractmethod
    def to(self, device: torch.device) -> ConceptPool:
        """The same pool with its tensors on `device`."""

    @abc.abstractmethod
    def gather(self, split: MetaSplit, concepts: np.ndarray, examples: np.ndarray, places: np.ndarray) -> tuple[Tensor, Tensor]:
        """Gathers examples of concepts by number.

        Args:
            split: meta-train or meta-test.
            concepts: [...] int, numbered from 0 in each split.
            examples: [...] int, numbered from 0 in each concept, in the order in which a file or generator gives them.
            places: [...] int, what each concept is known by: the output of a class, the place of a function among those that
                are learned together.

        Returns:
            Inputs [..., *input shape] and targets: the places themselves [...] int64 for classes, real values
            [..., dimensions] for functions.
        """


class ConceptStream(Stream):
    """A stream for protocol `meta_continual`."""

    @abc.abstractmethod
    def count_concepts(self, split: MetaSplit) -> int:
        """Number of concepts; may list files, reads no example."""

    @abc.abstractmethod
    def count_examples(self) -> tuple[int, int]:
        """Examples of each concept: (to learn from at meta-test, held out). In meta-training all of them may be used."""

    @abc.abstractmethod
    def outputs_for(self, most: int) -> int:
        """Outputs that the network needs where places go up to `most` - 1."""

    @abc.abstractmethod
    def check(self, together: int) -> None:
        """Refuses, before anything is loaded, what the data cannot give.

        Args:
            together: most concepts that will be learned together.

        Raises:
            SettingError: naming the field, its value and what is possible.
            DataError: files are missing or not what they should be.
        """

    @abc.abstractmethod
    def load(self, seeds: Sequence[int]) -> ConceptPool:
        """Reads the concepts, which are the same for all seeds.

        Raises:
            DataError: what was looked for, where, why it failed, and what works without it.
        """

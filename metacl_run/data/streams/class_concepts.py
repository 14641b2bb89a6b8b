"""Classes learned one after another: the stream of labelled examples for protocol `meta_continual`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from metacl_run.core.bounds import AT_EVALUATION, Examples, NonNegative
from metacl_run.core.errors import require
from metacl_run.core.transfer import upload
from metacl_run.data.sources.source import LabelledSource, inputs_of
from metacl_run.data.streams import notes
from metacl_run.data.streams.class_samples import check_test_examples
from metacl_run.data.streams.concept_stream import ConceptPool, ConceptStream, MetaSplit


@dataclass(frozen=True, kw_only=True)
class ClassConcepts(ConceptStream):
    """The classes of a source in two parts, for meta-training and for meta-test."""

    source: LabelledSource
    meta_test_classes: NonNegative
    """The last classes, in the order of the source, are for meta-test: a number, or a fraction when below 1."""
    test_examples: Annotated[Examples, AT_EVALUATION]
    """The last examples of each class are held out at meta-test."""

    def __post_init__(self) -> None:
        share, allowed = self.meta_test_classes, "must be a number of classes, or a fraction of at least 0 and below 1"
        require(share < 1 or share == int(share), "meta_test_classes", share, allowed)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.source.example_shape

    def count_concepts(self, split: MetaSplit) -> int:
        total, share = len(self.source.catalogue().names), self.meta_test_classes
        meta_test = round(share * total) if share < 1 else int(share)
        return meta_test if split == "meta_test" else total - meta_test

    def count_examples(self) -> tuple[int, int]:
        return int(self.source.catalogue().counts.min()) - self.test_examples, self.test_examples

    def outputs_for(self, most: int) -> int:
        return most

    def check(self, together: int) -> None:
        catalogue = self.source.catalogue()
        leaves = f"must leave at least one of the {len(catalogue.names)} classes to each of meta-training and meta-test"
        counts = self.count_concepts("meta_train"), self.count_concepts("meta_test")
        require(min(counts) >= 1, "meta_test_classes", self.meta_test_classes, leaves)
        check_test_examples(self.test_examples, catalogue)

    def load(self, seeds: Sequence[int]) -> ClassConceptPool:
        examples = self.source.read()
        counts = examples.catalogue.counts
        return ClassConceptPool(
            notes=[*examples.notes, *notes.on_smallest_class(counts, sum(self.count_examples()))],
            examples=torch.from_numpy(examples.x),
            starts=np.cumsum(counts) - counts,
            meta_train=self.count_concepts("meta_train"),
        )


@dataclass(frozen=True, kw_only=True)
class ClassConceptPool(ConceptPool):
    """All examples, class by class; the last classes are the meta-test ones."""

    examples: Tensor
    """[N, ...] as the source stores them."""
    starts: np.ndarray
    """[classes] the row in `examples` where each class begins."""
    meta_train: int
    """How many of the classes, from the first, are for meta-training."""
    notes: Sequence[str] = ()

    def to(self, device: torch.device) -> ClassConceptPool:
        return dataclasses.replace(self, examples=self.examples.to(device))

    def gather(self, split: MetaSplit, concepts: np.ndarray, examples: np.ndarray, places: np.ndarray) -> tuple[Tensor, Tensor]:
        classes = concepts if split == "meta_train" else self.meta_train + concepts
        rows, known_by = upload([self.starts[classes] + examples, places], self.examples.device)
        x = inputs_of(self.examples.index_select(0, rows.flatten()))
        return x.view(*rows.shape, *x.shape[1:]), known_by

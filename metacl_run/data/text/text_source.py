"""The interfaces of a source of texts: labelled examples that an encoder has turned into features.

Shapes: C classes, N texts.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metacl_run.data.sources.source import Catalogue, LabelledExamples, LabelledSource, SplitExamples, SplitSource
from metacl_run.data.sources.task_shift import TaskShift
from metacl_run.data.text.text_encoder import encoder_of
from metacl_run.data.text.text_features import encoded
from metacl_run.data.text.text_shift import KINDS, text_shift

INSTEAD = "metacl-run data=intents"
"""A command that works without any data, for messages about data that are missing."""


@dataclass(frozen=True, kw_only=True)
class LabelledTexts:
    """Texts in memory."""

    catalogue: Catalogue
    texts: Sequence[str]
    """[N] class by class in the order of the catalogue."""
    notes: Sequence[str] = ()
    """What the user should know about what was read."""


@dataclass(frozen=True, kw_only=True)
class SplitTexts:
    """Texts in two parts, the training part first."""

    texts: Sequence[str]
    """[N]."""
    y: np.ndarray
    """[N] int64 classes."""
    num_train: int
    """Texts of the training part."""
    notes: Sequence[str] = ()
    """What the user should know about what was read, such as texts that are in both parts."""
    out_of_scope: Sequence[str] | None = None
    """[K] test texts that belong to no class; None: there are none, or none are asked for."""


@dataclass(frozen=True, kw_only=True)
class EncodedSource(LabelledSource):
    """What the sources of texts have in common."""

    encoder: str
    """What turns a text into an example, see `text_encoder.encoder_of`."""

    shifts = KINDS

    def __post_init__(self) -> None:
        encoder_of(self.encoder)

    @property
    def fingerprint(self) -> str:
        return encoder_of(self.encoder).fingerprint

    @property
    def example_shape(self) -> tuple[int, ...]:
        return encoder_of(self.encoder).shape

    def task_shift(self, kind: str, *, seeds: Sequence[int], num_tasks: int) -> TaskShift:
        return text_shift(kind, num_tasks=num_tasks, encoder=encoder_of(self.encoder))


@dataclass(frozen=True, kw_only=True)
class TextSource(EncodedSource):
    """Texts by class."""

    @abc.abstractmethod
    def read_texts(self) -> LabelledTexts:
        """Reads all texts.

        Raises:
            DataError: what was looked for, where, why it failed, and what works without it.
        """

    def read(self) -> LabelledExamples:
        read = self.read_texts()
        x = encoded(encoder_of(self.encoder), read.texts)
        return LabelledExamples(catalogue=read.catalogue, x=x, notes=read.notes, raw=read.texts)


@dataclass(frozen=True, kw_only=True)
class SplitTextSource(EncodedSource, SplitSource):
    """Texts by class, in a training part and a test part."""

    @abc.abstractmethod
    def read_split_texts(self) -> SplitTexts:
        """Reads both parts. Raises as `TextSource.read_texts` does."""

    def read_parts(self) -> SplitExamples:
        read = self.read_split_texts()
        encoder = encoder_of(self.encoder)
        return SplitExamples(
            x=encoded(encoder, read.texts),
            y=read.y,
            num_train=read.num_train,
            notes=read.notes,
            raw=read.texts,
            out_of_scope=None if read.out_of_scope is None else encoded(encoder, read.out_of_scope),
        )

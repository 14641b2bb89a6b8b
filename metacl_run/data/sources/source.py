"""The interfaces of a source: the data, before a stream divides them into the tasks of a protocol.

A source is settings only. Reading gives plain arrays; an example may be anything that a network takes: an image (uint8), a
vector of features (float32), token numbers (int64).
Shapes: C classes, N examples, K points.
"""

from __future__ import annotations

import abc
import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
import torch
from torch import Tensor

from metacl_run.core.digest import hex_digest
from metacl_run.core.errors import DataError
from metacl_run.data.sources.task_shift import NO_SHIFT, TaskShift

Raw: TypeAlias = Sequence[str] | np.ndarray
"""Texts, or images [N, channels, side, side] uint8, before an encoder makes examples of them."""


def rows_of(raw: Raw, rows: np.ndarray) -> Raw:
    """Picks texts or images by their rows [N]."""
    return raw[rows] if isinstance(raw, np.ndarray) else [raw[row] for row in rows]


class Source(abc.ABC):
    """Any source. A leaf is a frozen keyword-only dataclass whose fields are its settings.

    Attributes:
        also_read_by: options of the group `data` that read files of this source as well, each with the settings that it takes;
            {name} is the value of a setting. Named where a protocol is chosen for which this source has no stream.
    """

    also_read_by: ClassVar[Mapping[str, str]] = {}

    @property
    @abc.abstractmethod
    def example_shape(self) -> tuple[int, ...]:
        """Shape of one example, as the network receives it."""

    @property
    def origins(self) -> frozenset[str]:
        """Names of the data sets that the examples are from. Two sources that share one may share examples."""
        return frozenset({type(self).__name__.lower()})

    @property
    def fingerprint(self) -> str:
        """What the examples depend on besides the settings, such as the weights of an encoder; part of the run id."""
        return ""

    def contents(self) -> dict[str, Any]:
        """What the files hold, in few words of JSON: a run that goes on, or is evaluated, must find them as they were.

        Empty: there is nothing that could change. Raises as reading does.
        """
        return {}


# ------------------------------------------------------------------------------------------------- labelled examples


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """The classes of a source, known before an example is read."""

    names: list[str]
    """[C] names of the classes, for messages."""
    counts: np.ndarray
    """[C] int64, examples of each class."""
    groups: list[str]
    """[C] the group of each class: an alphabet, a script, a domain; the names where there are no groups."""
    group_word: str = "groups"
    """What the groups are called, in the plural."""
    class_word: str = "classes"
    """What the classes are called, in the plural."""

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.counts) == len(self.groups):
            sizes = f"{len(self.names)} names, {len(self.counts)} counts, {len(self.groups)} groups"
            raise ValueError(f"a catalogue needs a name, a count and a group for every class, not {sizes}")

    def contents(self, files: Sequence[str] = ()) -> dict[str, Any]:
        """Numbers of classes and examples, and a digest of all names and counts, and of the files that are read."""
        text = json.dumps([self.names, self.counts.tolist(), self.groups, *files], default=str)
        digest = hex_digest(text)
        return {"classes": len(self.names), "examples": int(self.counts.sum()), "digest": digest}


@dataclass(frozen=True, kw_only=True)
class MaybeEncoded:
    """Examples, and what an encoder made them from, if one did."""

    raw: Raw | None = None
    """[N] the texts or images that the examples were encoded from; None: they are as they were read."""

    @property
    def texts(self) -> Sequence[str] | None:
        """[N] the texts that the examples were encoded from; None: they are not texts."""
        return None if isinstance(self.raw, np.ndarray) else self.raw


@dataclass(frozen=True, kw_only=True)
class LabelledExamples(MaybeEncoded):
    """Examples in memory, with the catalogue of what was really read."""

    catalogue: Catalogue
    x: np.ndarray
    """[N, ...] class by class in the order of the catalogue, N = sum of its counts. uint8 stands for numbers in [0, 1]."""
    notes: Sequence[str] = ()
    """What the user should know about what was read: files that were left out."""

    def __post_init__(self) -> None:
        if len(self.x) != self.catalogue.counts.sum():
            raise DataError(f"{len(self.x)} examples were read, but the catalogue counts {self.catalogue.counts.sum()}.")
        _check_numbers(self.x, "examples")

    @classmethod
    def from_labels(cls, catalogue: Catalogue, x: np.ndarray, labels: np.ndarray, raw: Raw | None = None) -> LabelledExamples:
        """Makes examples from rows in any order; `labels` [N] are positions in the catalogue."""
        order = np.argsort(labels, kind="stable")
        return cls(catalogue=catalogue, x=x[order], raw=None if raw is None else rows_of(raw, order))


def _check_numbers(x: np.ndarray, what: str) -> None:
    """Raises DataError where these are no array, or a row has a number that is not finite."""
    if not isinstance(x, np.ndarray):
        raise DataError(f"The {what} must be a numpy array, not a {type(x).__name__}; a tensor has x.numpy().")
    if x.dtype.kind == "f" and (rows := _rows_not_finite(x)):
        raise DataError(f"{rows} of {len(x)} {what} have numbers that are not finite (NaN or infinite).")


def _rows_not_finite(x: np.ndarray) -> int:
    """Counts the rows that have a NaN or an infinite number, a few of them at a time: they may lie in a file."""
    some = max(1, 2**22 // max(1, x[:1].size))
    chunks = (x[start : start + some] for start in range(0, len(x), some))
    return sum(int((~np.isfinite(chunk)).any(tuple(range(1, x.ndim))).sum()) for chunk in chunks)


class LabelledSource(Source):
    """Labelled examples by class."""

    shifts: Sequence[str] = ("none",)
    """The kinds of `task_shift` that this source knows: the values of a stream's setting `shift`."""

    @abc.abstractmethod
    def catalogue(self) -> Catalogue:
        """The classes and how many examples each has. Called several times, also where nothing is run: cheap, or cached.

        Raises:
            DataError: files are missing or not what they should be.
        """

    @abc.abstractmethod
    def read(self) -> LabelledExamples:
        """Reads all examples.

        Raises:
            DataError: what was looked for, where, why it failed, and what works without it.
        """

    def contents(self) -> dict[str, Any]:
        return self.catalogue().contents()

    def task_shift(self, kind: str, *, seeds: Sequence[int], num_tasks: int) -> TaskShift:
        """The transformation of `kind`, one of `shifts`, that each task of each seed has for itself."""
        assert kind == "none", f"{type(self).__name__} has no shift {kind}"
        return NO_SHIFT


@dataclass(frozen=True, kw_only=True)
class SplitExamples(MaybeEncoded):
    """Examples in memory in two parts, the training part first."""

    x: np.ndarray
    """[N, ...] uint8 (for numbers in [0, 1]), float32 or int64."""
    y: np.ndarray
    """[N] int64 classes."""
    num_train: int
    """Examples of the training part."""
    notes: Sequence[str] = ()
    """What the user should know about what was read."""
    out_of_scope: np.ndarray | None = None
    """[K, ...] test examples that belong to no class, of the type of `x`; None: there are none, or none are asked for."""

    def __post_init__(self) -> None:
        _check_numbers(self.x, "examples")
        y = np.asarray(self.y)
        if y.dtype.kind not in "iu" or y.shape != (len(self.x),):
            kind = f"{y.dtype} {list(y.shape)}"
            raise DataError(f"The classes must be whole numbers, one for each of the {len(self.x)} examples; they are {kind}.")
        if self.out_of_scope is not None:
            _check_numbers(self.out_of_scope, "out-of-scope examples")


OUT_OF_SCOPE_UNUSED = "out-of-scope examples are not used: only protocol online evaluates on them"


class SplitSource(LabelledSource):
    """Labelled examples that come in a training part and a test part, both with the same classes."""

    @abc.abstractmethod
    def parts(self) -> tuple[Catalogue, Catalogue]:
        """The catalogues of the training part and of the test part. Raises as `catalogue` does."""

    @abc.abstractmethod
    def read_parts(self) -> SplitExamples:
        """Reads both parts. Raises as `read` does."""

    has_fixed_parts: ClassVar[bool] = False
    """Whether the data set says which examples are for test, whatever the settings."""

    @property
    def test_origin(self) -> str:
        """What decides, beside the origins, which examples the test part has: sources with the same origins whose test parts
        differ say different things. Default: nothing with fixed parts, else all settings."""
        return "" if self.has_fixed_parts else repr(self)

    def contents(self) -> dict[str, Any]:
        train, test = self.parts()
        return contents_of_parts(train.contents(), test.contents())

    def catalogue(self) -> Catalogue:
        train, test = self.parts()
        return dataclasses.replace(train, counts=train.counts + test.counts)

    def read(self) -> LabelledExamples:
        examples = self.read_parts()
        labelled = LabelledExamples.from_labels(self.catalogue(), examples.x, examples.y, examples.raw)
        unused = [] if examples.out_of_scope is None else [f"{len(examples.out_of_scope)} {OUT_OF_SCOPE_UNUSED}"]
        return dataclasses.replace(labelled, notes=[*examples.notes, *unused])


def contents_of_parts(train: Mapping[str, Any], test: Mapping[str, Any]) -> dict[str, Any]:
    """What both parts hold, from the `contents` of each."""
    return {**train, "test_examples": test["examples"], "test_digest": test["digest"]}


def inputs_of(stored: Tensor) -> Tensor:
    """Examples as a network receives them: uint8 as float32 in [0, 1], every other type as it is."""
    return stored.float().div_(255) if stored.dtype == torch.uint8 else stored


# --------------------------------------------------------------------------------------------------------- functions


class FunctionFamily(Source):
    """Functions to regress on that are drawn afresh whenever one is needed; nothing is read and nothing is stored."""

    num_parameters: int
    """Uniform numbers that decide one function."""

    @abc.abstractmethod
    def check_tasks(self, num_tasks: int) -> None:
        """Refuses a number of tasks that the family cannot be divided into. Raises SettingError."""

    @abc.abstractmethod
    def task_names(self, num_tasks: int) -> list[str]:
        """[num_tasks] names of the tasks, each of which has a part of the family."""

    @abc.abstractmethod
    def draw(self, tasks: np.ndarray, num_tasks: int, uniforms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Evaluates one function for every entry of `tasks`.

        Args:
            tasks: [...] int, the task that a function belongs to.
            num_tasks: tasks that the family is divided into.
            uniforms: [..., num_parameters + K] in [0, 1).

        Returns:
            Inputs [..., K, *example_shape] and targets [..., K, dimensions], both float64.
        """


class FunctionSource(Source):
    """Functions to regress on, each with a fixed set of examples."""

    @abc.abstractmethod
    def draw(self, functions: int, examples: int) -> tuple[np.ndarray, np.ndarray]:
        """Inputs [functions, examples, *example_shape] and targets [functions, examples, dimensions], both float64."""

"""The interface of a stream for protocol `osaka`: tasks recur, and the learner is not told their boundaries.

At every step of the stream a learner sees a batch of one task. The task stays the same with probability `stay`; otherwise a
domain is drawn by its share, and a new task from this domain. A domain is what tasks have in common: a data set, a script, a
family of dynamics. Source: Caccia et al. 2020, OSAKA, arXiv 2003.05856, section 3.

Shapes: R seeds (replicates), U steps, D domains, B examples of a batch, E episodes.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge, Lt, MaxLen
from torch import Tensor

from metacl_run.core.bounds import AT_EVALUATION, NonNegative
from metacl_run.core.errors import require, require_all
from metacl_run.core.randomness import Purpose, generator
from metacl_run.core.types import Episode
from metacl_run.data.streams.stream import Pool, Stream

StreamPart = Literal["test", "validation"]
"""Which examples a stream shows: those that are reported on, or those that settings are chosen on."""


@dataclass(frozen=True, kw_only=True)
class Visits:
    """Which task is visited at every step."""

    number: np.ndarray
    """[R, U] int64, the visits counted from 0: it grows by one where the task changes."""
    domain: np.ndarray
    """[R, U] int64, the domain of the task."""

    @property
    def is_switch(self) -> np.ndarray:
        """[R, U] bool, whether a step is the first of a task; the first step of the stream is no switch."""
        return np.diff(self.number, axis=1, prepend=0) > 0

    def domain_of_visits(self, replicate: int) -> np.ndarray:
        """[V] the domain of every visit of one replicate."""
        return np.asarray(self.domain[replicate, _starts(self.number[replicate])])

    def of_tasks(self, tasks: Sequence[np.ndarray]) -> tuple[Visits, list[np.ndarray]]:
        """Makes visits in a row of the same task one visit.

        Args:
            tasks: [R] arrays [V], the task of every visit.

        Returns:
            the visits, and [R] arrays of the tasks of these.
        """
        number, of_visits = np.empty_like(self.number), []
        for replicate, own in enumerate(tasks):
            starts = np.r_[True, own[1:] != own[:-1]]
            number[replicate] = (np.cumsum(starts) - 1)[self.number[replicate]]
            of_visits.append(own[starts])
        return Visits(number=number, domain=self.domain), of_visits

    @classmethod
    def of_seeds(cls, seeds: Sequence[int], steps: int, *, stay: float, shares: Sequence[float], part: StreamPart) -> Visits:
        """Draws the visits of every seed. A seed's visits do not depend on the other seeds, nor its first ones on `steps`.

        Args:
            seeds: [R].
            steps: U.
            stay: chance that the next step has the same task.
            shares: [D] chances of the domains whenever a task is drawn; they add up to 1.
            part: validation streams have visits of their own: settings are not chosen on the visits that are tested.
        """
        purpose = Purpose.VISITS if part == "test" else Purpose.VALIDATION_VISITS
        number, domain = np.empty((2, len(seeds), steps), np.int64)
        for replicate, seed in enumerate(seeds):
            leaves, choice = generator(purpose, seed).random((steps, 2)).T
            number[replicate] = np.cumsum(np.r_[False, leaves[1:] > stay])
            candidates = np.searchsorted(np.cumsum(shares)[:-1], choice, side="right")
            domain[replicate] = candidates[_starts(number[replicate])][number[replicate]]
        return cls(number=number, domain=domain)


def visited_task(seed: int, visit: int, part: StreamPart) -> np.random.Generator:
    """Returns the generator that decides the task of a visit."""
    return generator(Purpose.VISITED_TASK if part == "test" else Purpose.VALIDATION_TASK, seed, visit)


def _starts(number: np.ndarray) -> np.ndarray:
    """[V] the first step of every visit, from the visits [U] of all steps."""
    return np.flatnonzero(np.r_[True, np.diff(number) > 0])


class RecurringPool(Pool):
    """The loaded stream of R seeds."""

    domain_names: list[str]
    """[D]."""
    visits: Visits

    @abc.abstractmethod
    def to(self, device: torch.device) -> RecurringPool:
        """The same pool with its tensors on `device`."""

    @abc.abstractmethod
    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs [R, B, ...] and targets [R, B, ...] of one step."""

    @abc.abstractmethod
    def episodes(self, count: int, rngs: Sequence[np.random.Generator]) -> Episode:
        """[R, E, ...] episodes for pre-training, of tasks of the first domain.

        Args:
            count: E.
            rngs: [R] generators; a seed's episodes depend on its own generator only.
        """


@dataclass(frozen=True, kw_only=True)
class RecurringStream(Stream):
    """A stream for protocol `osaka`."""

    stay: Annotated[float, Ge(0), Lt(1), AT_EVALUATION]
    """Chance that the next step has the same task; otherwise the task changes."""
    shares: Annotated[Annotated[list[NonNegative], MaxLen(1000)] | None, AT_EVALUATION]
    """Chance of each domain whenever a task is drawn; they add up to 1. null: equal chances."""

    def __post_init__(self) -> None:
        total = sum(self.shares or [1.0])
        require(abs(total - 1) < 1e-6, "shares", self.shares, f"must add up to 1, and not to {total:g}")

    def chances(self) -> list[float]:
        """[D] the chances of the domains.

        Raises:
            SettingError: `shares` has another length.
        """
        domains = len(self.domains())
        shares = [1 / domains] * domains if self.shares is None else self.shares
        listed = ", ".join(self.domains()[:10]) + ("" if domains <= 10 else " ...")
        require_all((len(shares) == domains, "shares", self.shares, f"must be {domains} numbers, one for each of: {listed}"))
        return shares

    @property
    @abc.abstractmethod
    def outputs(self) -> int:
        """Outputs that the network needs: those of a task, which all tasks share."""

    @property
    @abc.abstractmethod
    def batch_size(self) -> int:
        """B."""

    @abc.abstractmethod
    def domains(self) -> list[str]:
        """[D] names of the domains; the first is the one for pre-training. Reads no example."""

    @abc.abstractmethod
    def check(self, *, pretrains: bool, part: StreamPart) -> None:
        """Refuses, before anything is loaded, what the data cannot give.

        Args:
            pretrains: whether episodes for pre-training will be drawn.
            part: what the stream will show.

        Raises:
            SettingError: naming the field, its value and what is possible.
            DataError: files are missing or not what they should be.
        """

    @abc.abstractmethod
    def load(self, seeds: Sequence[int], *, steps: int, part: StreamPart) -> RecurringPool:
        """Reads the examples and draws what every seed visits.

        Raises:
            DataError: what was looked for, where, why it failed, and what works without it.
        """

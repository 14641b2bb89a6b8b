"""The interface of a source of skills: demonstrations of experts, and the simulator in which a learner acts.

A policy sees observations [D] and gives actions [A]. An observation does not say which skill is needed: the stream adds this if
the learner should know it. Shapes: R seeds, T skills, N pairs of a skill, P placements of a skill, S steps of a demonstration.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from metacl_run.core.errors import nearest, require_all
from metacl_run.data.sources.source import Source
from metacl_run.data.streams.acting import Acting


@dataclass(frozen=True, kw_only=True)
class Demonstrations:
    """Pairs of an observation and what the expert did there."""

    observations: Tensor
    """[R, T, N, D] float32."""
    actions: Tensor
    """[R, T, N, A] float32."""


@dataclass(frozen=True, kw_only=True)
class PlacedDemonstrations:
    """Demonstrations one by one, each from a placement of its own, and the simulator to act in from there."""

    observations: Tensor
    """[R, T, P, S, D] float32, in the order of time."""
    actions: Tensor
    """[R, T, P, S, A] float32."""
    acting: Acting
    """Its tasks are the placements, skill by skill: T * P of them, with one episode each."""


class SkillSource(Source):
    """Skills in the order in which they are learned. `example_shape` is that of an observation, (D,)."""

    skills: list[str]
    """Names of the skills, in the order in which they are learned."""

    @property
    @abc.abstractmethod
    def num_actions(self) -> int:
        """A, the numbers of an action."""

    @abc.abstractmethod
    def count_pairs(self) -> int:
        """N, pairs of every skill to learn from."""

    @abc.abstractmethod
    def check(self) -> None:
        """Refuses, before anything is made, what the simulator cannot do. Raises SettingError, DataError."""

    @abc.abstractmethod
    def demonstrate(self, seeds: Sequence[int]) -> tuple[Demonstrations, Demonstrations]:
        """Returns the demonstrations to learn from, and a few others to look at a network with, in the order of time.

        A seed's demonstrations depend on the seed alone.
        """

    @property
    @abc.abstractmethod
    def goal(self) -> list[int]:
        """Which numbers of an observation tell the goal: they are hidden where a learner is to find it in a demonstration."""

    @abc.abstractmethod
    def demonstrate_placements(self, seeds: Sequence[int], counts: Sequence[int], steps: int) -> list[PlacedDemonstrations]:
        """Returns parts that share no placement, of so many placements of every skill. Of each demonstration S = `steps` pairs
        are taken, evenly. A seed's depend on the seed, the place of the part among all and its size alone.
        """

    @abc.abstractmethod
    def acting(self, seeds: Sequence[int], episodes: int) -> Acting:
        """Returns the placements that learners of these seeds are scored on, so many of each skill, and their simulator."""


def check_skills(skills: Sequence[str], known: Sequence[str]) -> None:
    """Refuses names of skills that are none of those known, or that come twice. Raises SettingError."""
    unknown = [skill for skill in skills if skill not in known]
    twice = [skill for place, skill in enumerate(skills) if skill in skills[:place]]
    hint = nearest(unknown[0], known) if unknown else ""
    require_all(
        (bool(skills), "skills", "[]", f"must name at least one of {', '.join(known)}"),
        (not unknown, "skills", unknown[0] if unknown else "", f"is no skill.{hint} Skills: {', '.join(known)}"),
        (not twice, "skills", twice[0] if twice else "", "is named twice"),
    )

"""The interface of a source of transitions: rollouts of a body under many dynamics, family by family.

Shapes: D dynamics, P rollouts of each, T steps, S numbers of a state, A of an action.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass

import numpy as np

from metacl_run.core.errors import DataError
from metacl_run.data.sources.source import Source


@dataclass(frozen=True, kw_only=True)
class Rollouts:
    """What was seen of a body while it acted, family by family in the order of `TransitionSource.count_dynamics`."""

    states: np.ndarray
    """[D, P, T + 1, S] float32."""
    actions: np.ndarray
    """[D, P, T, A] float32; the action of a step leads from its state to the next."""

    def __post_init__(self) -> None:
        broken = ~(np.isfinite(self.states).all((1, 2, 3)) & np.isfinite(self.actions).all((1, 2, 3)))
        if broken.any():
            raise DataError(f"the rollouts of {broken.sum()} of {len(broken)} dynamics have numbers that are not finite.")


class TransitionSource(Source):
    """Rollouts under changed dynamics. A leaf has the settings; making the rollouts may take a simulator and a cache."""

    @property
    @abc.abstractmethod
    def state_size(self) -> int:
        """S."""

    @property
    @abc.abstractmethod
    def action_size(self) -> int:
        """A."""

    @abc.abstractmethod
    def count_dynamics(self) -> dict[str, int]:
        """How many dynamics every family has, by its name and in the order of the tasks. Makes no rollout."""

    @abc.abstractmethod
    def count_rollouts(self) -> tuple[int, int]:
        """(P, T). Makes no rollout."""

    @abc.abstractmethod
    def read(self) -> Rollouts:
        """Makes the rollouts, always the same.

        Raises:
            DataError: the simulator failed, or gave numbers that are not finite.
        """

    def check(self) -> None:
        """Refuses what is missing before a rollout is made. Raises DataError. Default: nothing is needed."""

    @property
    def example_shape(self) -> tuple[int, ...]:
        return (self.state_size + self.action_size,)

"""The interface of a source of transitions whose bodies a controller can also move."""

from __future__ import annotations

import abc
from collections.abc import Sequence

import numpy as np

from metacl_run.data.sources.transition_source import TransitionSource
from metacl_run.data.streams.control_episodes import ControlEpisodes


class ControlSource(TransitionSource):
    """Rollouts under changed dynamics, and the simulator that they come from. Shapes: R seeds, T families, E episodes."""

    @abc.abstractmethod
    def control_episodes(
        self, dynamics: np.ndarray, rngs: Sequence[Sequence[np.random.Generator]], steps_before: int
    ) -> ControlEpisodes:
        """Returns bodies to be moved, B = T * E of each seed, family by family.

        Args:
            dynamics: [R, T, E] int, those of every body, counted through all families.
            rngs: [R][T] decide starts, goals and random actions.
            steps_before: M, steps by random actions before a controller takes over.
        """

"""The interface of a task in a simulator that is stepped with one action at a time, in a process of its own (`worker`)."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import TypeAlias

import numpy as np


class SimulatedTask(abc.ABC):
    """One task. What happens in an episode depends on the placement and the actions alone, not on earlier episodes."""

    @abc.abstractmethod
    def begin(self, placement: int) -> np.ndarray:
        """Begins an episode with everything placed as a number from 0 to 2**31 says. Returns the observation [D]."""

    @abc.abstractmethod
    def step(self, action: np.ndarray) -> tuple[np.ndarray, bool]:
        """Takes an action [A] in [-1, 1]. Returns the next observation [D], and whether the goal is reached now."""

    @abc.abstractmethod
    def expert(self, observation: np.ndarray) -> np.ndarray:
        """The action [A] of the scripted expert, in [-1, 1]."""


MakeTask: TypeAlias = Callable[[str], SimulatedTask]
"""Builds a task by its name, in the process that simulates it; a function of a module, since it is sent there by its name."""

"""Control under changed dynamics: the bodies that a controller moves.

Shapes: R seeds, B bodies of each, M transitions of a window, S numbers of a state, A of an action, G of a goal.
"""

from __future__ import annotations

import abc
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

World: TypeAlias = Any
"""Where all bodies are, as the simulator at hand has it."""


class Window(NamedTuple):
    """What was seen of bodies lately, in their own units."""

    states: Tensor
    """[..., M + 1, S]."""
    actions: Tensor
    """[..., M, A]; an action leads from its state to the next."""

    def after(self, actions: Tensor, states: Tensor) -> Window:
        """Returns the window a step later, when actions [..., A] have led to states [..., S]."""
        return Window(
            torch.cat([self.states[..., 1:, :], states.unsqueeze(-2)], -2),
            torch.cat([self.actions[..., 1:, :], actions.unsqueeze(-2)], -2),
        )


class ControlEpisodes(abc.ABC):
    """Bodies under dynamics that a controller is not told. All of them take their steps at the same time."""

    lowest: Tensor
    """[A] the least that each number of an action may be."""
    highest: Tensor
    """[A] the most."""
    goals: Tensor
    """[R, B, G] what a reward depends on beside states and actions."""

    @abc.abstractmethod
    def to(self, device: torch.device) -> ControlEpisodes:
        """The same with its tensors on `device`."""

    @abc.abstractmethod
    def begin(self) -> tuple[World, Window]:
        """Puts the bodies where they start, the same places every time, and lets them act at random for M steps.

        Returns:
            The world, and what was seen [R, B, ...].

        Raises:
            SimulatorError: a process that simulates has died or hangs, or its numbers are not finite.
        """

    @abc.abstractmethod
    def step(self, world: World, actions: Tensor) -> tuple[World, Tensor, Tensor]:
        """Takes a step by actions [R, B, A], all finite and within the bounds.

        Returns:
            The world, the states [R, B, S] that follow, and the rewards [R, B]. Raises as `begin`.
        """

    @abc.abstractmethod
    def rewards(self, actions: Tensor, states: Tensor, goals: Tensor) -> Tensor:
        """Returns the rewards [...] of steps by actions [..., A] to states [..., S], which a model may have predicted, with
        goals [..., G]. A pure function."""

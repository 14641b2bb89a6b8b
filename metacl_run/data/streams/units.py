"""The units in which a network sees states and actions, and says how a state changes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Units(NamedTuple):
    """Means and standard deviations: a network sees and says what is standardised. S numbers of a state, A of an action.

    A tuple of tensors, so that it can be mapped over seeds.
    """

    input_mean: Tensor
    """[..., S + A]."""
    input_deviation: Tensor
    change_mean: Tensor
    """[..., S]."""
    change_deviation: Tensor

    def inputs(self, states: Tensor, actions: Tensor) -> Tensor:
        """Returns the inputs [..., S + A] of a network."""
        return (torch.cat([states, actions], -1) - self.input_mean) / self.input_deviation

    def targets(self, states: Tensor, following: Tensor) -> Tensor:
        """Returns what a network should say [..., S] where one state leads to another."""
        return (following - states - self.change_mean) / self.change_deviation

    def following(self, states: Tensor, outputs: Tensor) -> Tensor:
        """Returns the states [..., S] to which states lead by the outputs of a network."""
        return states + outputs * self.change_deviation + self.change_mean

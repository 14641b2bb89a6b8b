"""How a prediction becomes a part of the next input, where what is predicted is the change of a state."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Feedback(NamedTuple):
    """A state is the first S numbers of an input, in the input's own units; an output is its change, in others.

    A tuple of tensors, so that it can be mapped over seeds.
    """

    scale: Tensor
    """[..., S] a unit of the outputs, in units of the inputs."""
    offset: Tensor
    """[..., S] the change, in units of the inputs, where an output is 0."""

    def states(self, x: Tensor) -> Tensor:
        """Returns the states [..., S] of inputs [..., numbers]."""
        return x[..., : self.scale.shape[-1]]

    def moved(self, states: Tensor, outputs: Tensor) -> Tensor:
        """Returns the states [..., S] that follow."""
        return states + outputs * self.scale + self.offset

    def with_states(self, x: Tensor, states: Tensor) -> Tensor:
        """Returns the inputs with other states in them."""
        return torch.cat([states, x[..., self.scale.shape[-1] :]], -1)

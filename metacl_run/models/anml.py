"""ANML's network: one branch of convolutions gates, feature by feature, the features of the other (Beaulieu et al. 2020, arXiv
2002.09571).

For 28x28 images: three 3x3 convolutions without padding, each with normalisation and ReLU, 2x2 max pooling after the first two.
The prediction branch (`body`, 256 filters) gives 2304 features. The neuromodulatory branch (`gate`, 112 filters, then a linear
layer and a sigmoid) gives as many numbers between 0 and 1, which multiply the features before the last layer (`head`). Every
image is normalised by its own statistics, as in the released code, which learns one image at a time.

Differences from the released code:
 1. Images have one grey channel, not three copies of it, and values in [0, 1], not in [-0.043, 0.003]. The first normalisation
    cancels the factor between them, except for the 1e-5 added to the variance.
 2. The convolutions have no offset: normalisation cancels it exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from metacl_run.core.bounds import Width
from metacl_run.core.errors import require
from metacl_run.models.gated_network import GatedNetwork
from metacl_run.models.layers import ONE_POSITION, Conv2d, NormReluPoolEach, can_be_normed, draw_kaiming
from metacl_run.models.network import Model, image_shape


class _Gate(nn.Module):
    """Image -> [N, features] in (0, 1)."""

    def __init__(self, body: nn.Sequential, last: nn.Linear) -> None:
        super().__init__()
        self.body, self.last = body, last

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.last(self.body(x)))


@dataclass(frozen=True, kw_only=True)
class Anml(Model):
    """The gated network.

    Attributes:
        channels: filters of the prediction branch.
        gate_channels: filters of the neuromodulatory branch.
    """

    channels: Width
    gate_channels: Width

    def build(self, input_shape: tuple[int, ...], num_outputs: int | None) -> nn.Module:
        shape = image_shape(self, input_shape)
        body, size = _convolutions(shape, self.channels)
        gate_body, gate_size = _convolutions(shape, self.gate_channels)
        head = nn.Identity() if num_outputs is None else nn.Linear(size, num_outputs)
        module = GatedNetwork(_Gate(gate_body, nn.Linear(gate_size, size)), body, head)
        draw_kaiming(module)
        return module


def _convolutions(input_shape: tuple[int, ...], wide: int) -> tuple[nn.Sequential, int]:
    """Builds the three blocks; returns them and their number of features."""
    channels, *sides = input_shape
    layers: list[nn.Module] = []
    for pool in (2, 2, 1):
        layers += [Conv2d(channels, wide, 3, bias=False), NormReluPoolEach(wide, pool)]
        sides = [side - 2 for side in sides]
        smallest = f"needs images of at least 22x22, not {input_shape[1]}x{input_shape[2]}: {ONE_POSITION}"
        require(can_be_normed(*sides), "channels", wide, smallest)
        channels, sides = wide, [side // pool for side in sides]
    return nn.Sequential(*layers, nn.Flatten()), channels * math.prod(sides)

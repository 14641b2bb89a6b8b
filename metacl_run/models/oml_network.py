"""OML's network: a slow representation of plain convolutions and a prediction network that learns (Javed and White 2019,
arXiv 1905.12588).

For 84x84 images six 3x3 convolutions of 256 filters without padding, strides 2, 1, 2, 1, 2, 2, each with ReLU, give 2304
features, the representation (RLN, `body`). The prediction network (PLN, `head`) is 2304 -> 1024 -> classes in the paper, one
linear layer in the authors' code of July 2020. Weights are drawn Kaiming-normal, offsets are 0. There is no normalisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le, MaxLen, MinLen
from torch import nn

from metacl_run.core.bounds import Width, Widths
from metacl_run.core.errors import require
from metacl_run.models.layers import BodyHead, Conv2d, draw_kaiming
from metacl_run.models.network import Model, image_shape


@dataclass(frozen=True, kw_only=True)
class OmlNetwork(Model):
    """Convolutions, then fully connected layers that all belong to the head.

    Attributes:
        channels: filters of every convolution.
        strides: strides of the convolutions; 84x84: [2, 1, 2, 1, 2, 2], 28x28: [1, 1, 1, 2, 1, 2].
        hidden: widths of the head's hidden layers: [1024] in the paper, [] for one linear layer.
    """

    channels: Width
    strides: Annotated[list[Annotated[int, Ge(1), Le(1024)]], MinLen(1), MaxLen(1000)]
    hidden: Widths

    def build(self, input_shape: tuple[int, ...], num_outputs: int | None) -> nn.Module:
        channels, height, width = image_shape(self, input_shape)
        body: list[nn.Module] = []
        for stride in self.strides:
            enough = f"are too many for {input_shape[1]}x{input_shape[2]} images: convolutions are without padding"
            require(min(height, width) >= 3, "strides", self.strides, enough)
            body += [Conv2d(channels, self.channels, 3, stride=stride), nn.ReLU()]
            channels, height, width = self.channels, (height - 3) // stride + 1, (width - 3) // stride + 1
        module = BodyHead(nn.Sequential(*body, nn.Flatten()), _head(channels * height * width, self.hidden, num_outputs))
        draw_kaiming(module)
        return module


def _head(size: int, hidden: list[int], num_outputs: int | None) -> nn.Module:
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(size, width), nn.ReLU()]
        size = width
    if num_outputs is None:
        return nn.Sequential(*layers) if layers else nn.Identity()
    last = nn.Linear(size, num_outputs)
    return nn.Sequential(*layers, last) if layers else last

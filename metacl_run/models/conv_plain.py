"""Strided convolutions without normalisation: La-MAML's network for images (Gupta et al. 2020, arXiv 2007.13904).

CIFAR-100: three convolutions of 160 filters, 2560 -> 320 -> 320 -> 100; Tiny ImageNet: four, 2560 -> 640 -> 640 -> 200. Weights
are drawn Kaiming-normal (fan in, gain sqrt 2), biases are 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from metacl_run.core.bounds import Layers, Width, Widths
from metacl_run.core.errors import require
from metacl_run.models.layers import BodyHead, Conv2d, draw_kaiming
from metacl_run.models.network import Model, image_shape


@dataclass(frozen=True, kw_only=True)
class ConvPlain(Model):
    """3x3 convolutions with stride 2 and padding 1, then fully connected layers, each with ReLU.

    Attributes:
        channels: filters of every convolution.
        blocks: number of convolutions.
        hidden: width of every hidden fully connected layer.
    """

    channels: Width
    blocks: Layers
    hidden: Widths

    def build(self, input_shape: tuple[int, ...], num_outputs: int | None) -> nn.Module:
        channels, height, width = image_shape(self, input_shape)
        layers: list[nn.Module] = []
        for _ in range(self.blocks):
            require(min(height, width) >= 2, "blocks", self.blocks, f"is too many for {input_shape[1]}x{input_shape[2]} images")
            layers += [Conv2d(channels, self.channels, 3, stride=2, padding=1), nn.ReLU()]
            channels, height, width = self.channels, (height + 1) // 2, (width + 1) // 2
        layers.append(nn.Flatten())
        size = channels * height * width
        for wide in self.hidden:
            layers += [nn.Linear(size, wide), nn.ReLU()]
            size = wide
        module = BodyHead(nn.Sequential(*layers), nn.Identity() if num_outputs is None else nn.Linear(size, num_outputs))
        draw_kaiming(module)
        return module

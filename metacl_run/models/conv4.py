"""Conv4: four blocks of 3x3 convolution, batch norm, ReLU; the network of the few-shot papers.

Vinyals et al. 2016 pool after each block. MAML's Omniglot network uses strides instead, and averages the last positions (Finn
et al. 2017, section 5.2 and released code); Reptile's uses strides and flattens.

Differences from the papers:
 1. The convolutions have no bias: batch norm with batch statistics cancels it exactly.
 2. The head's weights are Xavier-uniform; MAML's code draws them from a standard normal for Omniglot.
 3. 1e-5 is added to the variance in the norm; TensorFlow, in which MAML's and Reptile's code is written, adds 1e-3.
 4. A convolution with stride pads all sides equally; TensorFlow pads an image with even sides only at the bottom and on the
    right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from metacl_run.core.bounds import Layers, Width
from metacl_run.core.errors import require
from metacl_run.models.layers import ONE_POSITION, Conv2d, NormReluPool, NormReluPoolEach, can_be_normed
from metacl_run.models.network import Model, image_shape


class _Conv4(nn.Module):
    def __init__(self, body: nn.Sequential, head: nn.Module, mean: bool) -> None:
        super().__init__()
        self.body, self.head, self.mean = body, head, mean

    def forward(self, x: Tensor) -> Tensor:
        features = self.body(x)
        outputs: Tensor = self.head(features.mean((2, 3)) if self.mean else features.flatten(1))
        return outputs


@dataclass(frozen=True, kw_only=True)
class Conv4(Model):
    """The four-block convolutional network.

    Attributes:
        channels: filters of every block.
        blocks: number of blocks.
        down: how a block halves the image: "maxpool" 2x2 after it, or "stride" 2 in its convolution.
        features: "flatten" the last positions, or take their "mean".
        norm: normalise by the statistics of the "batch", or of each "image" alone, for images that come one by one.
    """

    channels: Width
    blocks: Layers
    down: Literal["maxpool", "stride"]
    features: Literal["flatten", "mean"]
    norm: Literal["batch", "image"]

    def build(self, input_shape: tuple[int, ...], num_outputs: int | None) -> nn.Module:
        channels, height, width = image_shape(self, input_shape)
        layers: list[nn.Module] = []
        for _ in range(self.blocks):
            smallest = min(height, width)
            require(smallest >= 2, "blocks", self.blocks, f"is too many for {input_shape[1]}x{input_shape[2]} images")
            convolution = Conv2d(channels, self.channels, 3, padding=1, bias=False, stride=2 if self.down == "stride" else 1)
            nn.init.xavier_uniform_(convolution.weight)
            norm = NormReluPool if self.norm == "batch" else NormReluPoolEach
            if self.down == "stride":
                height, width = (height + 1) // 2, (width + 1) // 2
            one = f"is too many for {input_shape[1]}x{input_shape[2]} images with model.norm=image and model.down={self.down}"
            require(self.norm == "batch" or can_be_normed(height, width), "blocks", self.blocks, f"{one}: {ONE_POSITION}")
            layers += [convolution, norm(self.channels, 2 if self.down == "maxpool" else 1)]
            channels = self.channels
            if self.down == "maxpool":
                height, width = height // 2, width // 2
        size = channels if self.features == "mean" else channels * height * width
        head = nn.Identity() if num_outputs is None else nn.Linear(size, num_outputs)
        if isinstance(head, nn.Linear):
            nn.init.xavier_uniform_(head.weight)
            torch.nn.init.zeros_(head.bias)
        return _Conv4(nn.Sequential(*layers), head, self.features == "mean")

"""ResNet-18 for small images, the network of most papers on online learning; `resnet18_slim` has about a third of its filters.

He et al. 2016 (arXiv 1512.03385), as reduced by Lopez-Paz and Ranzato 2017 (arXiv 1706.08840, released code): a 3x3 convolution
without pooling, four stages of two blocks, of which the last three halve the image, and the mean over the last positions. With
20 filters in the first stage ("reduced ResNet18") it has 1.1 million parameters, with 64 it has 11.2 million.

Differences from the released code:
 1. The mean is over all last positions; the code averages windows of 4 x 4, which is the same for images of 32 x 32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from metacl_run.core.bounds import Width
from metacl_run.core.errors import require
from metacl_run.models.layers import ONE_POSITION, BatchNorm, BodyHead, Conv2d, ImageNorm, can_be_normed
from metacl_run.models.network import Model, image_shape
from metacl_run.models.running_norm import RunningBatchNorm

Norm = Literal["running", "batch", "image"]
LAYERS: dict[Norm, type[nn.Module]] = {"running": RunningBatchNorm, "batch": BatchNorm, "image": ImageNorm}
STAGES = 4
SMALLEST = 2 ** (STAGES - 1) + 1
"""Side of the smallest images of which more than one position is left."""


class _Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int, norm: type[nn.Module]) -> None:
        super().__init__()
        self.path = nn.Sequential(
            Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            norm(outputs),
            nn.ReLU(),
            Conv2d(outputs, outputs, 3, padding=1, bias=False),
            norm(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(Conv2d(inputs, outputs, 1, stride=stride, bias=False), norm(outputs))

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = (self.path(x) + self.shortcut(x)).relu()
        return outputs


class _Mean(nn.Module):
    """The mean over all positions."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


@dataclass(frozen=True, kw_only=True)
class ResNet18(Model):
    """Residual network of four stages.

    Attributes:
        channels: filters of the first stage; every later stage has twice as many as the one before.
        norm: "running": by the batch in training, by running averages at evaluation; "batch": always by the batch, for
            few-shot learning; "image": every image by itself.
    """

    channels: Width
    norm: Norm

    def build(self, input_shape: tuple[int, ...], num_outputs: int | None) -> nn.Module:
        inputs, *sides = image_shape(self, input_shape)
        last = [-(-side // 2 ** (STAGES - 1)) for side in sides]
        smallest = f"needs images of at least {SMALLEST}x{SMALLEST}, not {sides[0]}x{sides[1]}: {ONE_POSITION}"
        require(self.norm != "image" or can_be_normed(*last), "norm", self.norm, smallest)
        norm, outputs = LAYERS[self.norm], self.channels
        layers: list[nn.Module] = [Conv2d(inputs, outputs, 3, padding=1, bias=False), norm(outputs), nn.ReLU()]
        inputs = outputs
        for stage in range(STAGES):
            outputs = self.channels * 2**stage
            layers += [_Block(inputs, outputs, 1 if stage == 0 else 2, norm), _Block(outputs, outputs, 1, norm)]
            inputs = outputs
        head = nn.Identity() if num_outputs is None else nn.Linear(inputs, num_outputs)
        return BodyHead(nn.Sequential(*layers, _Mean()), head)

"""ResNet-12, the residual network of few-shot learning on larger images (Oreshkin et al. 2018, arXiv 1805.10123; Lee et al.
2019, arXiv 1904.03758): four residual blocks of three 3x3 convolutions, a 1x1 shortcut and 2x2 max pooling, then the mean.

Differences from the papers:
 1. No DropBlock: the update of an episode depends only on its data.
 2. Batch norm uses batch statistics, as in all models here.
 3. Weights are drawn as torch draws them by default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import MinLen
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, max_pool2d

from metacl_run.core.bounds import Widths
from metacl_run.core.errors import require
from metacl_run.models.layers import BatchNorm, Conv2d
from metacl_run.models.network import Model, image_shape

SLOPE = 0.1


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i in range(3):
            layers += [Conv2d(inputs if i == 0 else outputs, outputs, 3, padding=1, bias=False), BatchNorm(outputs)]
            layers += [nn.LeakyReLU(SLOPE)] if i < 2 else []
        self.path = nn.Sequential(*layers)
        self.shortcut = nn.Sequential(Conv2d(inputs, outputs, 1, bias=False), BatchNorm(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return max_pool2d(leaky_relu(self.path(x) + self.shortcut(x), SLOPE), 2)


class _ResNet12(nn.Module):
    def __init__(self, body: nn.Sequential, head: nn.Module) -> None:
        super().__init__()
        self.body, self.head = body, head

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.body(x).mean((2, 3)))
        return outputs


@dataclass(frozen=True, kw_only=True)
class ResNet12(Model):
    """Residual network.

    Attributes:
        channels: filters of every block, one entry for a block: [64, 128, 256, 512] or [64, 160, 320, 640].
    """

    channels: Annotated[Widths, MinLen(1)]

    def build(self, input_shape: tuple[int, ...], num_outputs: int | None) -> nn.Module:
        inputs, height, width = image_shape(self, input_shape)
        halved = min(height, width) >> len(self.channels)
        require(halved >= 1, "channels", self.channels, f"has too many blocks for {height}x{width} images")
        blocks = []
        for outputs in self.channels:
            blocks.append(_Block(inputs, outputs))
            inputs = outputs
        head = nn.Identity() if num_outputs is None else nn.Linear(inputs, num_outputs)
        return _ResNet12(nn.Sequential(*blocks), head)

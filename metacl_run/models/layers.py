"""Layers shared by the models; batch norm uses batch statistics, and can be differentiated twice under vmap."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metacl_run.kernels.convolution import convolution
from metacl_run.kernels.norm_relu_pool import batch_norm, norm_relu_pool, norm_relu_pool_each


class Conv2d(nn.Conv2d):
    """`nn.Conv2d` with a square filter, which on a card is a batched product where episodes have weights of their own.

    Args:
        inputs, outputs: channels.
        kernel_size, stride, padding: of both sides.
        bias: whether outputs have an offset.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel_size: int, stride: int = 1, padding: int = 0, bias: bool = True
    ) -> None:
        super().__init__(inputs, outputs, kernel_size, stride, padding, bias=bias)
        self._stride, self._padding = stride, padding

    def forward(self, x: Tensor) -> Tensor:
        return convolution(x, self.weight, self.bias, self._stride, self._padding)


class Affine(nn.Module):
    """A scale and an offset for each channel."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))


class BatchNorm(Affine):
    """Batch norm with the statistics of the batch itself, never running averages; input [N, C, ...]."""

    def forward(self, x: Tensor) -> Tensor:
        return batch_norm(x, self.weight, self.bias)


class NormReluPool(BatchNorm):
    """max_pool(relu(batch_norm(x))) in one fused operation; input [N, C, H, W], pool=1 leaves the pooling out."""

    def __init__(self, num_features: int, pool: int = 1) -> None:
        super().__init__(num_features)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        return norm_relu_pool(x, self.weight, self.bias, self.pool)


class NormReluPoolEach(Affine):
    """`NormReluPool` with the statistics of every image alone: for images that are learned one at a time."""

    def __init__(self, num_features: int, pool: int = 1) -> None:
        super().__init__(num_features)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        return norm_relu_pool_each(x, self.weight, self.bias, self.pool)


class ImageNorm(Affine):
    """Norm with the statistics of every image alone, over its pixels; input [N, C, H, W]."""

    def forward(self, x: Tensor) -> Tensor:
        images, channels, *sides = x.shape
        normed = batch_norm(x.reshape(1, -1, *sides), self.weight.repeat(images), self.bias.repeat(images))
        return normed.reshape(images, channels, *sides)


ONE_POSITION = "the norm of an image of one position is 0, whatever the image"
"""Why a model with `NormReluPoolEach` or `ImageNorm` refuses images that become too small."""


def can_be_normed(height: int, width: int) -> bool:
    """Whether an image of this size has statistics of its own: at least two positions."""
    return min(height, width) >= 1 and height * width >= 2


def has_batch_norm(module: nn.Module) -> bool:
    """Whether a module normalises by the statistics of the batch it predicts, so that an output depends on other inputs."""
    return any(isinstance(part, BatchNorm | nn.modules.batchnorm._BatchNorm) for part in module.modules())


class BodyHead(nn.Module):
    """`body`, whose last layer gives [N, features], and then `head`."""

    def __init__(self, body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.body, self.head = body, head

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.body(x))
        return outputs


def draw_kaiming(module: nn.Module) -> None:
    """Draws every convolution and linear layer anew: weights normal (fan in, gain sqrt 2), offsets 0 (He et al. 2015)."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class Perceptron(nn.Module):
    """Fully connected layers, `body` and then `head`, on flattened inputs."""

    def __init__(self, body: nn.Sequential, head: nn.Module) -> None:
        super().__init__()
        self.body, self.head = body, head

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.body(x.flatten(1)))
        return outputs

    def plain_layers(self) -> list[str] | None:
        """Names of weight and offset of every layer, in order; None unless it is linear layers with ReLU between."""
        names: list[str] = []
        for i, layer in enumerate(self.body):
            if not isinstance(layer, nn.Linear if i % 2 == 0 else nn.ReLU):
                return None
            names += [f"body.{i}.weight", f"body.{i}.bias"] if isinstance(layer, nn.Linear) else []
        return [*names, "head.weight", "head.bias"] if isinstance(self.head, nn.Linear) else None

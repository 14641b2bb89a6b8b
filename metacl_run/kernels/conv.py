"""Convolution whose derivatives of any order are fast on the CPU, and stay fast under vmap.

A convolution is linear in its input and in its weight, so three operations are closed under differentiation: the convolution
itself, its gradient with respect to the input, and with respect to the weight. Each of them is one call of oneDNN. torch's own
double backward computes the second weight gradient as a convolution with a filter as large as the image instead, which takes
three times as long, and under vmap its layouts change from step to step, which costs copies as large as the activations.

Shapes: B mapped problems (episodes x replicates), N images, C channels. Activations are [B, N, C, H, W] and lie in memory as
[N, B, C, H, W]: that is what a grouped convolution reads and writes, one group a problem. A weight that all problems share has
stride 0 along B; then the problems are so many more images of one ordinary convolution, in the same layout.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from metacl_run.kernels import build
from metacl_run.kernels.folding import fold, unfold


class _Geometry(NamedTuple):
    stride: int
    padding: int
    height: int
    width: int
    kernel_height: int
    kernel_width: int


def conv2d(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    """`torch.nn.functional.conv2d` without bias: x [N, C, H, W], weight [D, C, h, w] -> [N, D, H', W']."""
    if x.device.type != "cpu" or build.switched_off():
        return torch.nn.functional.conv2d(x, weight, stride=stride, padding=padding)
    geometry = _Geometry(stride, padding, x.shape[2], x.shape[3], weight.shape[2], weight.shape[3])
    return _Convolve.apply(x.unsqueeze(0), weight.unsqueeze(0), geometry).squeeze(0)


def _grouped(x: Tensor) -> Tensor:
    """[B, N, C, H, W] -> [N, B * C, H, W]; no copy in the layout above."""
    return x.transpose(0, 1).flatten(1, 2)


def _ungrouped(x: Tensor, problems: int) -> Tensor:
    return x.unflatten(1, (problems, -1)).transpose(0, 1)


def _as_images(x: Tensor) -> Tensor:
    """[B, N, C, H, W] -> [N * B, C, H, W]; no copy in the layout above."""
    return x.transpose(0, 1).flatten(0, 1)


def _from_images(x: Tensor, problems: int) -> Tensor:
    return x.unflatten(0, (-1, problems)).transpose(0, 1)


def _shared(weight: Tensor) -> bool:
    return weight.stride(0) == 0 or weight.shape[0] == 1


def _backward(gy: Tensor, x: Tensor, weight: Tensor, at: _Geometry, groups: int, mask: list[bool]) -> Any:
    stride, padding = [at.stride] * 2, [at.padding] * 2
    return torch.ops.aten.convolution_backward(
        gy, x, weight, None, stride, padding, [1, 1], False, [0, 0], groups, [*mask, False]
    )


class _Convolve(torch.autograd.Function):
    """x [B, N, C, H, W], weight [B, D, C, h, w] -> [B, N, D, H', W']."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, at: _Geometry) -> Tensor:
        problems = x.shape[0]
        if _shared(weight):
            y = torch.conv2d(_as_images(x), weight[0], stride=at.stride, padding=at.padding)
            return _from_images(y, problems)
        y = torch.conv2d(_grouped(x), weight.flatten(0, 1), stride=at.stride, padding=at.padding, groups=problems)
        return _ungrouped(y, problems)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight, ctx.at = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx: Any, gy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        gx = _InputGradient.apply(gy, weight, ctx.at) if ctx.needs_input_grad[0] else None
        gweight = _WeightGradient.apply(x, gy, ctx.at) if ctx.needs_input_grad[1] else None
        return gx, gweight, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> Any:
        return unfold(info, _Convolve.apply(*fold(info, in_dims, inputs[:2]), inputs[2]))


class _InputGradient(torch.autograd.Function):
    """gy [B, N, D, H', W'], weight -> gx [B, N, C, H, W]."""

    @staticmethod
    def forward(gy: Tensor, weight: Tensor, at: _Geometry) -> Tensor:
        problems, images, channels = gy.shape[0], gy.shape[1], weight.shape[2]
        if _shared(weight):
            x = gy.new_empty(1).expand(problems * images, channels, at.height, at.width)  # only its shape is read
            return _from_images(_backward(_as_images(gy), x, weight[0], at, 1, [True, False])[0], problems)
        x = gy.new_empty(1).expand(images, problems * channels, at.height, at.width)
        gx = _backward(_grouped(gy), x, weight.flatten(0, 1), at, problems, [True, False])[0]
        return _ungrouped(gx, problems)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        gy, weight, ctx.at = inputs
        ctx.save_for_backward(gy, weight)

    @staticmethod
    def backward(ctx: Any, c: Tensor) -> tuple[Tensor | None, ...]:
        gy, weight = ctx.saved_tensors
        ggy = _Convolve.apply(c, weight, ctx.at) if ctx.needs_input_grad[0] else None
        gweight = _WeightGradient.apply(c, gy, ctx.at) if ctx.needs_input_grad[1] else None
        return ggy, gweight, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> Any:
        return unfold(info, _InputGradient.apply(*fold(info, in_dims, inputs[:2]), inputs[2]))


class _WeightGradient(torch.autograd.Function):
    """x, gy -> gweight [B, D, C, h, w]."""

    @staticmethod
    def forward(x: Tensor, gy: Tensor, at: _Geometry) -> Tensor:
        problems, channels, filters = x.shape[0], x.shape[2], gy.shape[2]
        weight = x.new_empty(1).expand(problems * filters, channels, at.kernel_height, at.kernel_width)
        gweight = _backward(_grouped(gy), _grouped(x), weight, at, problems, [False, True])[1]
        return gweight.unflatten(0, (problems, filters))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, gy, ctx.at = inputs
        ctx.save_for_backward(x, gy)

    @staticmethod
    def backward(ctx: Any, c: Tensor) -> tuple[Tensor | None, ...]:
        x, gy = ctx.saved_tensors
        gx = _InputGradient.apply(gy, c, ctx.at) if ctx.needs_input_grad[0] else None
        ggy = _Convolve.apply(x, c, ctx.at) if ctx.needs_input_grad[1] else None
        return gx, ggy, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> Any:
        return unfold(info, _WeightGradient.apply(*fold(info, in_dims, inputs[:2]), inputs[2]))

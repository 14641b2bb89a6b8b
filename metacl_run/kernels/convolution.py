"""Convolution that, on a card and where `vmap` gives every problem weights of its own, is one batched product.

There torch makes one grouped convolution with a group for every episode, and of its second derivatives convolutions with
filters as large as an image, for which cuDNN has no fast algorithm. Here the patches of the images are laid out by one strided
copy, and value and derivatives are batched products of matrices. Where the weights are shared, mapped images are more images of
one ordinary convolution, as under torch.

With y = conv(x, w), the three operations

    y  = conv(x, w)      gx = images(gy, w)      gw = weights(gy, x)

are the derivatives of one trilinear form sum gy * conv(x, w), so the derivatives of each are the other two, to any order. Of
their axes B, N, C, O (below) the first belongs to all three tensors and each of the others to two. A mapped axis therefore
joins B where both inputs have it, and the axis that the other input lacks where one has it.

Weights that `vmap` maps over replicates alone, few problems of many images, are products too: a grouped convolution would need
the images with the groups beside each other in memory, a copy in and one out, and ordinary ones in turn would be as many
launches, which is what small problems cost. `scripts/gpu_checks/convolutions.py` times both cases.

On an NVIDIA H200 (results/gpu/convolutions.json) with 32 problems of five images the products take 0.34 to 0.75 of the time of
the grouped form in float32 (value, gradients and second derivatives together, sides 7, 14 and 28), and 1.05 to 1.6 times it in
tf32, for which cuDNN has fast grouped kernels. With 3 problems of 160 images it is 0.67 to 1.04 and 1 to 1.8. Numbers in tf32
therefore get torch's form. On the CPU the products are slower than torch's form, which is what the CPU gets.

Shapes: B mapped problems, N images, C channels, O outputs, H x W pixels, K x K the filter, P positions of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d, fold, pad
from torch.nn.grad import conv2d_input, conv2d_weight


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int = 0) -> Tensor:
    """`torch.nn.functional.conv2d`.

    Args:
        x: [N, C, H, W].
        weight: [O, C, K, K].
        bias: [O].
        stride, padding: of both sides.

    Returns:
        [N, O, H', W'], H' = (H + 2 * padding - K) // stride + 1.
    """
    if x.device.type == "cpu" or torch.compiler.is_compiling() or _is_tf32(x):
        return conv2d(x, weight, bias, stride, padding)
    y = batched(x, weight, stride, padding)
    return y if bias is None else y + bias.view(-1, 1, 1)


def _is_tf32(x: Tensor) -> bool:
    return x.dtype == torch.float32 and torch.backends.cudnn.conv.fp32_precision == "tf32"  # type: ignore[attr-defined]


def batched(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    """`convolution` without bias, in the form that cards get, on any device."""
    window = _Window((weight.shape[2], weight.shape[3]), (x.shape[2], x.shape[3]), stride, padding)
    y: Tensor = _Convolution.apply(x.unsqueeze(0), weight.unsqueeze(0), window)
    return y.squeeze(0)


@dataclass(frozen=True)
class _Window:
    """Where the filter of a convolution goes."""

    kernel: tuple[int, int]
    image: tuple[int, int]
    stride: int
    padding: int

    @property
    def positions(self) -> tuple[int, int]:
        """The sides of an output."""
        high, wide = (
            (side + 2 * self.padding - kernel) // self.stride + 1 for side, kernel in zip(self.image, self.kernel, strict=True)
        )
        return high, wide

    def patches(self, x: Tensor) -> Tensor:
        """[B, N, C, H, W] -> [B, C * K * K, N * P], in a launch, or two with padding."""
        images = x.transpose(1, 2)
        if self.padding:
            images = pad(images, [self.padding] * 4)
        windows = images.unfold(3, self.kernel[0], self.stride).unfold(4, self.kernel[1], self.stride)
        return windows.permute(0, 1, 5, 6, 2, 3, 4).flatten(4, 6).flatten(1, 3)

    def sum_of_patches(self, gy: Tensor, weight: Tensor) -> Tensor:
        """The images [B, N, C, H, W] whose every pixel is the sum of its places in the patches weight.T @ gy.

        `fold` adds up one image. Here all images stand on top of each other as one, so far apart that patches of one do not
        reach into the next: positions between them, where gy is 0, fill the gap.
        """
        (kernel, _), (height, width), (high, _) = self.kernel, self.image, self.positions
        gap = max(self.padding, 2 * self.padding - kernel + 1)
        rows = -(-(height + gap) // self.stride)
        spaced = pad(gy.transpose(1, 2), (0, 0, 0, rows - high)) if rows > high else gy.transpose(1, 2)
        problems, outputs, images = spaced.shape[:3]
        patches = torch.bmm(weight.flatten(2).mT, spaced.reshape(problems, outputs, -1))
        tall = images * rows * self.stride + kernel - 1 - 2 * self.padding
        folded = fold(patches.flatten(0, 1), (tall, width), self.kernel, padding=self.padding, stride=self.stride)
        channels, plane = weight.shape[2], tall * width
        strides = (channels * plane, rows * self.stride * width, plane, width, 1)
        return folded.as_strided((problems, images, channels, height, width), strides)


# ------------------------------------------------------------------------------ three operations, each other's derivatives


class _Bilinear(torch.autograd.Function):
    """An operation on two tensors [B, ...] that are all its derivatives need."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *saved, ctx.window = inputs
        ctx.save_for_backward(*saved)


class _Convolution(_Bilinear):
    """x [B, N, C, H, W], weight [B, O, C, K, K] -> y [B, N, O, H', W']."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, window: _Window) -> Tensor:
        if len(x) == 1:
            return conv2d(x[0], weight[0], None, window.stride, window.padding).unsqueeze(0)
        y: Tensor = torch.bmm(weight.flatten(2), window.patches(x)).unflatten(2, (x.shape[1], *window.positions))
        return y.transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, gy: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight), window, needed = ctx.saved_tensors, ctx.window, ctx.needs_input_grad
        gx = _ImageGradient.apply(gy, weight, window) if needed[0] else None
        return gx, _WeightGradient.apply(gy, x, window) if needed[1] else None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        return _mapped(_Convolution, info, in_dims, inputs, alone=((1, 1), (1, 2)))


class _ImageGradient(_Bilinear):
    """gy [B, N, O, H', W'], weight [B, O, C, K, K] -> gx [B, N, C, H, W]."""

    @staticmethod
    def forward(gy: Tensor, weight: Tensor, window: _Window) -> Tensor:
        if len(gy) > 1:
            return window.sum_of_patches(gy, weight)
        size = (gy.shape[1], weight.shape[2], *window.image)
        gx: Tensor = conv2d_input(size, weight[0], gy[0], window.stride, window.padding)
        return gx.unsqueeze(0)

    @staticmethod
    def backward(ctx: Any, a: Tensor) -> tuple[Tensor | None, ...]:
        (gy, weight), window, needed = ctx.saved_tensors, ctx.window, ctx.needs_input_grad
        ggy = _Convolution.apply(a, weight, window) if needed[0] else None
        return ggy, _WeightGradient.apply(gy, a, window) if needed[1] else None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        return _mapped(_ImageGradient, info, in_dims, inputs, alone=((1, 1), (2, 2)))


class _WeightGradient(_Bilinear):
    """gy [B, N, O, H', W'], x [B, N, C, H, W] -> gw [B, O, C, K, K]."""

    @staticmethod
    def forward(gy: Tensor, x: Tensor, window: _Window) -> Tensor:
        outputs, channels = gy.shape[2], x.shape[2]
        if len(gy) > 1:
            gw: Tensor = torch.bmm(gy.transpose(1, 2).flatten(2), window.patches(x).mT)
            return gw.view(-1, outputs, channels, *window.kernel)
        shared: Tensor = conv2d_weight(x[0], (outputs, channels, *window.kernel), gy[0], window.stride, window.padding)
        return shared.unsqueeze(0)

    @staticmethod
    def backward(ctx: Any, b: Tensor) -> tuple[Tensor | None, ...]:
        (gy, x), window, needed = ctx.saved_tensors, ctx.window, ctx.needs_input_grad
        ggy = _Convolution.apply(x, b, window) if needed[0] else None
        return ggy, _ImageGradient.apply(gy, b, window) if needed[1] else None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        return _mapped(_WeightGradient, info, in_dims, inputs, alone=((2, 1), (2, 2)))


def _mapped(
    function: type[torch.autograd.Function],
    info: Any,
    in_dims: tuple[int | None, ...],
    inputs: tuple[Any, ...],
    alone: tuple[tuple[int, int], tuple[int, int]],
) -> tuple[Tensor, int]:
    """Applies an operation to two tensors of which one or both are mapped.

    Args:
        alone: for each of the two, the axis that the other lacks, and which axis of the result that is.

    Returns:
        The result and the place of its mapped axis, as a vmap rule must.
    """
    *tensors, window = inputs
    first, second = in_dims[:2]
    if first is not None and second is not None:
        folded, place = [_joined(tensor, dim, 0) for tensor, dim in zip(tensors, (first, second), strict=True)], 0
    else:
        mapped = 0 if second is None else 1
        axis, place = alone[mapped]
        folded = [_joined(tensor, dim, axis) for tensor, dim in zip(tensors, in_dims, strict=False)]
    result: Tensor = function.apply(*folded, window)
    return result.unflatten(place, (info.batch_size, -1)), place


def _joined(tensor: Tensor, dim: int | None, axis: int) -> Tensor:
    """Makes the mapped axis `dim`, if any, part of an axis of the tensor without it."""
    return tensor if dim is None else tensor.movedim(dim, axis).flatten(axis, axis + 1)

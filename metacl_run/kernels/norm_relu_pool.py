"""Batch norm with batch statistics, ReLU and max pooling as one operation that can be differentiated twice.

In second-order meta-learning the double backward of batch norm costs about as much as the convolutions. Here one block has
hand-written first and second derivatives, each two passes over memory, and a vmap rule that folds the mapped axis into the
statistics' own axis, so that `vmap` over episodes and replicates calls one kernel.

With x of shape [N, C, H, W], M = N*H*W, r = 1/sqrt(var + eps), xhat = (x - mean) * r and gz the gradient at the winning
elements of the pool where the ReLU is on:

    first derivative     gx = scale * r * (gz - S1/M - xhat * S2/M),  S1 = sum gz = goffset,  S2 = sum gz * xhat = gscale
    second derivative    for cotangents a of gx, b of gscale, c of goffset, with am = mean(a), q = mean(a * xhat), K = sum a * gz:
      d/dgz    = scale * r * (a - am - q * xhat) + b * xhat + c
      d/dscale = r * (K - S1 * am - S2 * q)
      d/dx     = r * (h - mean(h) - xhat * mean(h * xhat)) - scale * (K - S1 * am - S2 * q) * r^2 * xhat / M,
                 h = scale * r * (-gz * q - S2 * a / M) + b * gz

Shapes: B mapped problems, N images, C channels, H x W pixels, P the pool's side.
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from metacl_run.kernels import build

EPS = 1e-5


class _Shape(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ("B", "N", "C", "H", "W", "P", "sb", "sn", "sc", "pb", "pn", "pc")]


def norm_relu_pool(x: Tensor, scale: Tensor, offset: Tensor, pool: int = 1, eps: float = EPS) -> Tensor:
    """max_pool(relu(batch_norm(x))) with the statistics of the batch itself.

    Args:
        x: [N, C, H, W], float32 or float64 for the fused kernel; anything else takes torch operations.
        scale, offset: [C].
        pool: side and stride of the max pool; 1 leaves it out.

    Returns:
        [N, C, H // pool, W // pool].
    """
    if x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64) and build.load() is not None and pool <= 15:
        return _Block.apply(x.unsqueeze(0), scale.unsqueeze(0), offset.unsqueeze(0), pool, eps)[0].squeeze(0)
    return reference(x, scale, offset, pool, eps)


def reference(x: Tensor, scale: Tensor, offset: Tensor, pool: int = 1, eps: float = EPS) -> Tensor:
    """The same from torch operations: used off the CPU, and the answer the kernel is tested against."""
    y = torch.relu(batch_norm(x, scale, offset, eps))
    return torch.nn.functional.max_pool2d(y, pool) if pool > 1 else y


def batch_norm(x: Tensor, scale: Tensor, offset: Tensor, eps: float = EPS) -> Tensor:
    """Batch norm over every axis but the second, from primitives.

    `torch.nn.functional.batch_norm` inside `vmap` gives wrong second derivatives (torch 2.13); mean and variance do not.
    """
    axes = [i for i in range(x.ndim) if i != 1]
    shape = [1, -1] + [1] * (x.ndim - 2)
    centred = x - x.mean(axes, keepdim=True)
    rstd = (centred.square().mean(axes, keepdim=True) + eps).rsqrt()
    return centred * (rstd * scale.view(shape)) + offset.view(shape)


# ---------------------------------------------------------------------------------------------------------- the kernels


def _dense(x: Tensor) -> Tensor:
    """x with each H x W image contiguous and no overlap, in whatever order of B, N, C it already has."""
    return x if torch.empty_like(x).stride() == x.stride() and x.stride()[3:] == (x.shape[4], 1) else x.contiguous()


def _like(x: Tensor, reference_: Tensor) -> Tensor:
    return x if x.stride() == reference_.stride() else torch.empty_like(reference_, dtype=x.dtype).copy_(x)


def _pooled(x: Tensor, pool: int, dtype: torch.dtype | None = None) -> Tensor:
    """An empty tensor of pooled shape whose B, N, C lie in memory in the order they have in x."""
    size = [*x.shape[:3], x.shape[3] // pool, x.shape[4] // pool]
    order = sorted(range(3), key=lambda d: -x.stride(d)) + [3, 4]
    empty = torch.empty([size[d] for d in order], dtype=dtype or x.dtype)
    return empty.permute([order.index(d) for d in range(5)])


def _call(name: str, x: Tensor, y: Tensor, pool: int, *arguments: Tensor | float) -> None:
    library = build.load()
    assert library is not None
    shape = _Shape(*x.shape, pool, *x.stride()[:3], *y.stride()[:3])
    converted = [
        ctypes.c_void_p(a.data_ptr()) if isinstance(a, Tensor) else ctypes.c_double(a) for a in arguments
    ]
    getattr(library, f"{name}_{'float' if x.dtype == torch.float32 else 'double'}")(ctypes.byref(shape), *converted)


def _fold(info: Any, dims: tuple[int | None, ...], tensors: tuple[Tensor, ...]) -> list[Tensor]:
    """Moves the mapped axis to the front of each tensor and merges it with axis B."""
    folded = []
    for dim, tensor in zip(dims, tensors, strict=True):
        moved = tensor.unsqueeze(0).expand(info.batch_size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
        folded.append(moved.reshape(-1, *moved.shape[2:]))
    return folded


def _unfold(info: Any, outputs: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    size = info.batch_size
    return tuple(o.unflatten(0, (size, o.shape[0] // size)) for o in outputs), (0,) * len(outputs)


class _Block(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, scale: Tensor, offset: Tensor, pool: int, eps: float) -> tuple[Tensor, ...]:
        x, scale, offset = _dense(x), scale.contiguous(), offset.contiguous()
        y, index = _pooled(x, pool), _pooled(x, pool, torch.uint8)
        mean, rstd = torch.empty_like(scale), torch.empty_like(scale)
        _call("forward", x, y, pool, x, scale, offset, eps, y, index, mean, rstd)
        return y, index, mean, rstd

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x, scale, _, ctx.pool, _ = inputs
        _, index, mean, rstd = output
        ctx.mark_non_differentiable(index, mean, rstd)
        ctx.save_for_backward(x, scale, index, mean, rstd)

    @staticmethod
    def backward(ctx: Any, gy: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x, scale, index, mean, rstd = ctx.saved_tensors
        gx, gscale, goffset = _BlockBackward.apply(gy, x, scale, index, mean, rstd, ctx.pool)
        return gx, gscale, goffset, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], x: Tensor, scale: Tensor, offset: Tensor, pool: int, eps: float):
        folded = _fold(info, in_dims[:3], (x, scale, offset))
        return _unfold(info, _Block.apply(*folded, pool, eps))


class _BlockBackward(torch.autograd.Function):
    @staticmethod
    def forward(
        gy: Tensor, x: Tensor, scale: Tensor, index: Tensor, mean: Tensor, rstd: Tensor, pool: int
    ) -> tuple[Tensor, ...]:
        x, scale, mean, rstd = _dense(x), scale.contiguous(), mean.contiguous(), rstd.contiguous()
        index = _like(index, _pooled(x, pool, torch.uint8))
        gy = _like(gy, index)
        gx, gscale, goffset = torch.empty_like(x), torch.empty_like(scale), torch.empty_like(scale)
        _call("backward", x, gy, pool, x, scale, mean, rstd, index, gy, gx, gscale, goffset)
        return gx, gscale, goffset

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        *saved, ctx.pool = inputs
        ctx.save_for_backward(*saved)

    @staticmethod
    def backward(ctx: Any, a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor | None, ...]:
        ggy, gx, gscale = _BlockDoubleBackward.apply(a, b, c, *ctx.saved_tensors, ctx.pool)
        return ggy, gx, gscale, None, None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any):
        folded = _fold(info, in_dims[:-1], inputs[:-1])
        return _unfold(info, _BlockBackward.apply(*folded, inputs[-1]))


class _BlockDoubleBackward(torch.autograd.Function):
    @staticmethod
    def forward(
        a: Tensor, b: Tensor, c: Tensor, gy: Tensor, x: Tensor, scale: Tensor, index: Tensor, mean: Tensor, rstd: Tensor, pool: int
    ) -> tuple[Tensor, ...]:
        x, scale, mean, rstd = _dense(x), scale.contiguous(), mean.contiguous(), rstd.contiguous()
        index = _like(index, _pooled(x, pool, torch.uint8))
        a, gy = _like(a, x), _like(gy, index)
        ggy, gx, gscale = torch.empty_like(gy), torch.empty_like(x), torch.empty_like(scale)
        b, c = b.contiguous(), c.contiguous()
        _call("double_backward", x, gy, pool, x, scale, mean, rstd, index, gy, a, b, c, ggy, gx, gscale)
        return ggy, gx, gscale

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        pass

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *_: Any):
        raise NotImplementedError("norm_relu_pool has first and second derivatives; a third is not implemented")

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any):
        folded = _fold(info, in_dims[:-1], inputs[:-1])
        return _unfold(info, _BlockDoubleBackward.apply(*folded, inputs[-1]))

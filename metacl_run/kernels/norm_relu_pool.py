"""Batch norm with batch statistics, ReLU and max pooling as one operation that can be differentiated twice.

In second-order meta-learning the double backward of batch norm costs about as much as the convolutions. Here one block has
hand-written first and second derivatives, each one pass over memory, and a vmap rule that folds the mapped axis into the
statistics' own axis, so that `vmap` over episodes and replicates calls one kernel. Only the inputs are kept.

With x of shape [N, C, H, W], M = N*H*W, r = 1/sqrt(var + eps), xhat = (x - mean) * r and gz the gradient at the winning
elements of the pool where the ReLU is on:

    first derivative     gx = scale * r * (gz - S1/M - xhat * S2/M),  S1 = sum gz = goffset,  S2 = sum gz * xhat = gscale
    second derivative    for cotangents a of gx, b of gscale, c of goffset; am = mean(a), q = mean(a * xhat), K = sum a * gz:
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

from metacl_run.kernels import build, operators

EPS = 1e-5
SMALLEST = 16384
"""On the CPU, for fewer elements of x in a problem, torch operations are as fast: a call is 0.5 ms under `vmap` of `grad`."""
REDUCED = (torch.bfloat16, torch.float16)


def norm_relu_pool(x: Tensor, scale: Tensor, offset: Tensor, pool: int = 1, eps: float = EPS) -> Tensor:
    """max_pool(relu(batch_norm(x))) with the statistics of the batch itself.

    Args:
        x: [N, C, H, W].
        scale, offset: [C].
        pool: side and stride of the max pool; 1 leaves it out.

    Returns:
        [N, C, H // pool, W // pool].
    """
    if is_fusable(x):
        return fused(x, scale, offset, pool, eps)
    if x.dtype in REDUCED:  # statistics of a batch need more digits than these have
        exact = norm_relu_pool(x.float(), scale.float(), offset.float(), pool, eps)
        return exact.to(x.dtype)
    return reference(x, scale, offset, pool, eps)


def norm_relu_pool_each(x: Tensor, scale: Tensor, offset: Tensor, pool: int = 1, eps: float = EPS) -> Tensor:
    """`norm_relu_pool` with the statistics of every image alone."""
    images, _, *sides = x.shape
    if _is_on_card(x) and is_fusable(x):  # every image a problem: nothing is repeated
        alone = _Block.apply(x.unsqueeze(1), scale.expand(images, -1), offset.expand(images, -1), pool, eps)
        return alone.squeeze(1)  # type: ignore[no-any-return]
    pooled = norm_relu_pool(x.reshape(1, -1, *sides), scale.repeat(images), offset.repeat(images), pool, eps)
    return pooled.reshape(images, -1, *pooled.shape[2:])


def is_fusable(x: Tensor) -> bool:
    """Whether there is a kernel for x that is worth its call. On a card the launch is what costs: no size is too small."""
    if torch.compiler.is_compiling():
        return False
    if _is_on_card(x):
        return x.dtype in (torch.float32, torch.float64, *REDUCED) and operators.has_triton()
    suitable = x.numel() >= SMALLEST and x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    return suitable and build.load() is not None


def fused(x: Tensor, scale: Tensor, offset: Tensor, pool: int = 1, eps: float = EPS) -> Tensor:
    """`norm_relu_pool` by a kernel: on the CPU the compiled one, which `build.load()` must find, on CUDA Triton's.

    On the CPU all are float32 or float64; on CUDA x may be of a reduced type, whatever that of scale and offset.
    """
    result: Tensor = _Block.apply(x.unsqueeze(0), scale.unsqueeze(0), offset.unsqueeze(0), pool, eps)
    return result.squeeze(0)


def reference(x: Tensor, scale: Tensor, offset: Tensor, pool: int = 1, eps: float = EPS) -> Tensor:
    """`norm_relu_pool` from torch operations: where there is no kernel, and as the answer the kernels are tested against."""
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


def _is_on_card(tensor: Tensor) -> bool:
    return tensor.is_cuda


def _dense(x: Tensor) -> Tensor:
    """Returns x with every H x W image contiguous and no overlap, in its own order of B, N, C."""
    dense = x.stride(4) == 1 and x.stride(3) == x.shape[4] and torch.empty_like(x).stride() == x.stride()
    return x if dense else x.contiguous()


def _pooled(x: Tensor, pool: int) -> Tensor:
    """Returns an empty tensor of pooled shape, with B, N, C in the order in memory that they have in x."""
    height, width = x.shape[3] // pool, x.shape[4] // pool
    inner, strides = height * width, [0, 0, 0]
    for axis in sorted(range(3), key=lambda d: (x.stride(d), -d)):
        strides[axis] = inner
        inner *= x.shape[axis]
    return torch.empty_strided((*x.shape[:3], height, width), (*strides, width, 1), dtype=x.dtype, device=x.device)


def _read(tensor: Tensor, layout: Tensor) -> Tensor:
    """Returns a tensor as the kernels read it: in memory as `layout` is, on a card with B, N, C in its own order."""
    if _is_on_card(tensor):
        return _dense(tensor)
    return tensor if tensor.stride() == layout.stride() else torch.empty_like(layout).copy_(tensor)


def _rows(vector: Tensor) -> Tensor:
    """Returns [B, C] as the kernels take it: rows of neighbours, which on a card need not be neighbours themselves."""
    return vector if _is_on_card(vector) and vector.stride(1) == 1 else vector.contiguous()


_OPERATORS = {
    name: operators.define(f"norm_relu_pool_{name}", f"{tensors}, int pool, float eps", "norm_relu_pool_triton", name)
    for name, tensors in {
        "forward": "Tensor x, Tensor scale, Tensor offset, Tensor(a!) y",
        "backward": "Tensor x, Tensor scale, Tensor offset, Tensor gy, Tensor(a!) gx, Tensor(b!) gscale, Tensor(c!) goffset",
        "double_backward": "Tensor x, Tensor scale, Tensor offset, Tensor gy, Tensor a, Tensor b, Tensor c, "
        "Tensor(a!) ggy, Tensor(b!) xx, Tensor(c!) gscale",
    }.items()
}


def _call(name: str, x: Tensor, y: Tensor, pool: int, eps: float, *tensors: Tensor) -> None:
    """Calls the kernel of x's device. `tensors` are its pointers, as `_dense`, `_read` and `_rows` return them."""
    if _is_on_card(x):
        _OPERATORS[name](*tensors, pool, eps)
    else:
        _call_compiled(name, x, y, pool, eps, *tensors)


def _call_compiled(name: str, x: Tensor, y: Tensor, pool: int, eps: float, *tensors: Tensor) -> None:
    library = build.load()
    assert library is not None
    shape = (ctypes.c_int64 * 13)(*x.shape, pool, *x.stride()[:3], *y.stride()[:3], torch.get_num_threads())
    pointers = [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]
    kernel = getattr(library, name + ("_float" if x.dtype == torch.float32 else "_double"))
    kernel(shape, ctypes.c_double(eps), *pointers)


def _fold(info: Any, dims: tuple[int | None, ...], tensors: tuple[Tensor, ...]) -> list[Tensor]:
    """Moves the mapped axis to the front of each tensor and merges it with axis B; repeats tensors that are not mapped."""
    folded = []
    for dim, tensor in zip(dims, tensors, strict=False):
        moved = tensor.expand(info.batch_size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
        folded.append(moved.flatten(0, 1))
    return folded


def _unfold(info: Any, outputs: Any) -> Any:
    """Returns the outputs with the mapped axis in front, and its place, as a vmap rule must."""
    size = info.batch_size
    if isinstance(outputs, Tensor):
        return outputs.unflatten(0, (size, -1)), 0
    return tuple(output.unflatten(0, (size, -1)) for output in outputs), (0,) * len(outputs)


class _Block(torch.autograd.Function):
    """(x, scale, offset) -> y. Only the inputs are kept; the derivatives compute statistics and winners again."""

    @staticmethod
    def forward(x: Tensor, scale: Tensor, offset: Tensor, pool: int, eps: float) -> Tensor:
        x, scale, offset = _dense(x), _rows(scale), _rows(offset)
        y = _pooled(x, pool)
        _call("forward", x, y, pool, eps, x, scale, offset, y)
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *saved, ctx.pool, ctx.eps = inputs
        ctx.save_for_backward(*saved)

    @staticmethod
    def backward(ctx: Any, gy: Tensor) -> tuple[Tensor | None, ...]:
        return *_BlockBackward.apply(gy, *ctx.saved_tensors, ctx.pool, ctx.eps), None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> Any:
        return _unfold(info, _Block.apply(*_fold(info, in_dims, inputs[:3]), *inputs[3:]))


class _BlockBackward(torch.autograd.Function):
    """(gy, x, scale, offset) -> gx, gscale, goffset."""

    @staticmethod
    def forward(gy: Tensor, x: Tensor, scale: Tensor, offset: Tensor, pool: int, eps: float) -> tuple[Tensor, ...]:
        x, scale, offset = _dense(x), _rows(scale), _rows(offset)
        gy = _read(gy, _pooled(x, pool))
        gx, gscale, goffset = torch.empty_like(x), scale.new_empty(scale.shape), offset.new_empty(offset.shape)
        _call("backward", x, gy, pool, eps, x, scale, offset, gy, gx, gscale, goffset)
        return gx, gscale, goffset

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        *saved, ctx.pool, ctx.eps = inputs
        ctx.save_for_backward(*saved)

    @staticmethod
    def backward(ctx: Any, a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor | None, ...]:
        return *_BlockDoubleBackward.apply(a, b, c, *ctx.saved_tensors, ctx.pool, ctx.eps), None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> Any:
        return _unfold(info, _BlockBackward.apply(*_fold(info, in_dims, inputs[:4]), *inputs[4:]))


class _BlockDoubleBackward(torch.autograd.Function):
    """Cotangents a, b, c of gx, gscale, goffset, and the inputs of `_BlockBackward` -> gradients of gy, x, scale."""

    @staticmethod
    def forward(  # noqa: PLR0913 - the arguments of the operation
        a: Tensor, b: Tensor, c: Tensor, gy: Tensor, x: Tensor, scale: Tensor, offset: Tensor, pool: int, eps: float
    ) -> tuple[Tensor, ...]:
        x, scale, offset, b, c = _dense(x), _rows(scale), _rows(offset), _rows(b), _rows(c)
        a, gy = _read(a, x), _read(gy, _pooled(x, pool))
        ggy, gx, gscale = torch.empty_like(gy), torch.empty_like(x), scale.new_empty(scale.shape)
        _call("double_backward", x, gy, pool, eps, x, scale, offset, gy, a, b, c, ggy, gx, gscale)
        return ggy, gx, gscale

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        pass

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *_: Any) -> Any:
        raise NotImplementedError("norm_relu_pool has first and second derivatives; a third is not implemented")

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> Any:
        return _unfold(info, _BlockDoubleBackward.apply(*_fold(info, in_dims, inputs[:7]), *inputs[7:]))

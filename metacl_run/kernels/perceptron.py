"""SGD in small steps on a perceptron, for many problems in one call.

A step of a small network on a few samples is tens of microseconds of arithmetic, and hundreds of overhead when made of torch
operations under `vmap` of `grad`. perceptron.cpp has the computation; for a CUDA card perceptron_gram.py arranges it in another
way. These calls have no derivative: they are for first-order methods.

Shapes: P mapped problems, G groups of S steps, B samples of a batch, D inputs.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from metacl_run.kernels import build, operators

MOST_LAYERS = 16


def usable(x: Tensor, parameters: Sequence[Tensor]) -> bool:
    """Whether a kernel can compute these: float32 or float64, all of one type and on one device.

    Args:
        x: all samples of a call, in any shape.
    """
    alike = all(tensor.dtype == x.dtype and tensor.device == x.device for tensor in parameters)
    small = 2 <= len(parameters) <= 2 * MOST_LAYERS
    if not (alike and small and x.dtype in (torch.float32, torch.float64)) or torch.compiler.is_compiling():
        return False
    if x.is_cuda:
        return operators.has_triton() and _of_card(x).fits(x, parameters)
    return x.device.type == "cpu" and build.load() is not None


def sgd(
    parameters: Sequence[Tensor], x: Tensor, y: Tensor, weight: Tensor, *, rate: float, beta: float
) -> tuple[list[Tensor], Tensor]:
    """Takes G * S steps of SGD.

    Args:
        parameters: weight [out, in] and offset [out] of every layer, in order.
        x: [G, S, B, D]; y: [G, S, B] int64; weight: [G, S, B]. A step's loss is the weighted sum over its samples,
            divided by the sum of the weights, or by 1 where that is less.
        rate: of SGD.
        beta: after each group, back to before + beta * (after - before) (MER's within-batch Reptile); 1: plain SGD.

    Returns:
        The parameters after them, and the weighted mean loss over all samples, each before its step.
    """

    def call(x: Tensor, y: Tensor, weight: Tensor, *parameters: Tensor) -> list[Tensor]:
        if card := _of_card(x):
            return list(card.sgd(x, y, weight, parameters, rate=rate, beta=beta))
        x, y, weight = x.contiguous(), y.contiguous(), weight.contiguous()
        moved = [parameter.clone(memory_format=torch.contiguous_format) for parameter in parameters]
        losses = x.new_empty(len(x))
        shape = _shape(y.shape[1], y.shape[2], x, moved)
        numbers = ctypes.c_int64(x.shape[3]), ctypes.c_double(rate), ctypes.c_double(beta)
        _kernel("sgd", x)(shape, *numbers, *_pairs(moved), *_pointers(x, y, weight, losses))
        return [*moved, losses]

    *moved, loss = _Mapped.apply(call, x, y, weight, *parameters)
    return moved, loss


def look_ahead(
    parameters: Sequence[Tensor],
    rates: Sequence[Tensor],
    steps: tuple[Tensor, Tensor],
    meta: tuple[Tensor, Tensor, Tensor],
) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """La-MAML's meta-objective along S inner steps, and its first-order derivatives (Gupta et al. 2020, equation 3).

    Args:
        parameters, rates: weight [out, in] and offset [out] of every layer, in order; rates at least 0.
        steps: x [S, D], y [S]: an inner step on each.
        meta: x [B, D], y [B], weight [B]: the loss is measured on it after each step.

    Returns:
        Derivatives with respect to the parameters, to the rates (0 where a rate is 0), and the mean loss over the steps.
    """

    def parts(tensors: Sequence[Tensor]) -> tuple[Sequence[Tensor], ...]:
        return tensors[:2], tensors[2:5], tensors[5 : 5 + len(parameters)], tensors[5 + len(parameters) :]

    def call(*tensors: Tensor) -> list[Tensor]:
        if card := _of_card(tensors[0]):
            return list(card.look_ahead(*parts(tensors)))
        (x, y), (u, v, weight), parameters, rates = parts([tensor.contiguous() for tensor in tensors])
        by_parameter, by_rate = ([torch.empty_like(parameter) for parameter in parameters] for _ in range(2))
        losses = x.new_empty(len(x))
        size = ctypes.c_int64(u.shape[1])
        pairs = (pointers for group in (parameters, rates, by_parameter, by_rate) for pointers in _pairs(group))
        shape = _shape(1, y.shape[1], x, parameters)
        _kernel("look_ahead", x)(shape, size, *pairs, *_pointers(x, y, u, v, weight, losses))
        return [*by_parameter, *by_rate, losses]

    *derivatives, loss = _Mapped.apply(call, *steps, *meta, *parameters, *rates)
    return derivatives[: len(parameters)], derivatives[len(parameters) :], loss


class _Mapped(torch.autograd.Function):
    """call(tensors with a leading axis P) -> tensors with one, as an operation on one problem that `vmap` can map."""

    @staticmethod
    def forward(call: Callable[..., list[Tensor]], *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(result.squeeze(0) for result in call(*(tensor.unsqueeze(0) for tensor in tensors)))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.mark_non_differentiable(*output)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *_: Any) -> Any:
        raise NotImplementedError("the perceptron kernels have no derivative: they are for first-order methods")

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], call: Callable[..., list[Tensor]], *tensors: Tensor) -> Any:
        mapped = [
            tensor.expand(info.batch_size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
            for dim, tensor in zip(in_dims[1:], tensors, strict=True)
        ]
        outputs = call(*mapped)
        return tuple(outputs), (0,) * len(outputs)


def _of_card(x: Tensor) -> Any:
    """Returns perceptron_gram.py, whose import needs Triton, for a tensor on a CUDA card; None for any other."""
    if not x.is_cuda:
        return None
    from metacl_run.kernels import perceptron_gram

    return perceptron_gram


def _kernel(name: str, x: Tensor) -> Any:
    library = build.load()
    assert library is not None
    return getattr(library, f"perceptron_{name}_{'float' if x.dtype == torch.float32 else 'double'}")


def _shape(groups: int, steps: int, x: Tensor, parameters: Sequence[Tensor]) -> Any:
    """`Problem` of perceptron.cpp for x [P, ..., D] and parameters [P, ...]."""
    sizes = [x.shape[-1], *(offset.shape[1] for offset in parameters[1::2])]
    unused = [0] * (MOST_LAYERS + 1 - len(sizes))
    return (ctypes.c_int64 * (5 + MOST_LAYERS + 1))(
        len(x), groups, steps, len(sizes) - 1, torch.get_num_threads(), *sizes, *unused
    )


def _pointers(*tensors: Tensor) -> list[ctypes.c_void_p]:
    return [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]


def _pairs(tensors: Sequence[Tensor]) -> list[Any]:
    """Two arrays of addresses: of the weights, and of the offsets."""
    return [(ctypes.c_void_p * len(half))(*(tensor.data_ptr() for tensor in half)) for half in (tensors[0::2], tensors[1::2])]

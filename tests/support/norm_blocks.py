"""What tests of norm_relu_pool's kernels share: inputs, derivatives, and checks for another process or a card."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import grad, vmap

from metacl_run.kernels import norm_relu_pool
from metacl_run.kernels.norm_relu_pool import fused, reference

SIZES = [(3, 2, 8, 8), (2, 3, 7, 5), (4, 1, 3, 3), (2, 2, 19, 22), (1, 2, 34, 6), (2, 1, 3, 41)]


def inputs(size: tuple[int, ...], scale: float, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x, scale, offset, and weights for a scalar of the output of any pool; the offset keeps both ReLU states frequent."""
    generator = torch.Generator().manual_seed(sum(size))
    x = torch.randn(size, generator=generator, dtype=torch.float64)
    gamma = scale + 0.1 * torch.rand(size[1], generator=generator, dtype=torch.float64) * (scale != 0)
    beta = 0.2 * torch.randn(size[1], generator=generator, dtype=torch.float64)
    weights = torch.randn(size, generator=generator, dtype=torch.float64)
    return x.to(dtype), gamma.to(dtype), beta.to(dtype), weights.to(dtype)


def scalar(block: Callable[..., Tensor], pool: int, weights: Tensor) -> Callable[..., Tensor]:
    def function(x: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
        y = block(x, scale, offset, pool)
        return (y.square() * weights[..., : y.shape[-2], : y.shape[-1]]).sum()

    return function


def first_derivative(function: Callable[..., Tensor]) -> Callable[..., tuple[Tensor, ...]]:
    return grad(function, argnums=(0, 1, 2))


def second_derivative(function: Callable[..., Tensor]) -> Callable[..., tuple[Tensor, ...]]:
    """Gradient of a scalar of the first gradient, in which every part of it has its say."""

    def of_gradient(*args: Tensor) -> Tensor:
        return sum((g.sin() * (1 + i)).sum() for i, g in enumerate(grad(function, argnums=(0, 1, 2))(*args)))

    return grad(of_gradient, argnums=(0, 1, 2))


def close(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance * max(1.0, expected.abs().max().item()))


# ---------------------------------------------------------------------------------------------------- Triton's kernels


def check_against_reference(
    size: tuple[int, ...], pool: int, scale: float, dtype: torch.dtype, device: str, tolerance: float
) -> None:
    """Forward, gradient and double gradient."""
    *args, weights = (tensor.to(device) for tensor in inputs(size, scale, dtype))
    close(fused(*args, pool), reference(*args, pool), tolerance)
    for derivative in (first_derivative, second_derivative):
        expected = derivative(scalar(reference, pool, weights))(*args)
        for actual, wanted in zip(derivative(scalar(fused, pool, weights))(*args), expected, strict=True):
            close(actual, wanted, tolerance)


def check_under_vmap(axes: tuple[int | None, ...], pool: int, twice: bool, device: str, tolerance: float) -> None:
    """One axis of problems or two, with what is mapped in different places or shared, against one problem after another."""
    size, mapped = (2, 2, 5, 6), 2
    samples = [inputs(size, 1.0 + i)[:3] for i in range(mapped)]
    weights = inputs(size, 1.0)[3].to(device)
    operands, rows = [], []
    for i, axis in enumerate(axes):
        values = [s[i].to(device) * (j + 1) for j, s in enumerate(samples)]
        rows.append([values[0]] * mapped if axis is None else values)
        operands.append(values[0] if axis is None else torch.stack(values, axis))
    once = vmap(second_derivative(scalar(fused, pool, weights)), in_dims=axes)
    two_levels = vmap(once, in_dims=(None, None, 0))
    actual = two_levels(*operands[:2], torch.stack([operands[2]] * 2)) if twice else once(*operands)
    looped = [second_derivative(scalar(reference, pool, weights))(*row) for row in zip(*rows, strict=True)]
    for i, derivative in enumerate(actual):
        expected = torch.stack([derivatives[i] for derivatives in looped])
        close(derivative, torch.stack([expected] * 2) if twice else expected, tolerance)


def check_every_image_alone(device: str) -> None:
    x, scale, offset, weights = (tensor.to(device) for tensor in inputs((3, 2, 5, 4), 1.3))

    def looped(x: Tensor, scale: Tensor, offset: Tensor, pool: int) -> Tensor:
        return torch.cat([reference(image.unsqueeze(0), scale, offset, pool) for image in x])

    expected = second_derivative(scalar(looped, 2, weights))(x, scale, offset)
    actual = second_derivative(scalar(norm_relu_pool.norm_relu_pool_each, 2, weights))(x, scale, offset)
    for one, wanted in zip(actual, expected, strict=True):
        close(one, wanted, 1e-9)


def check_layouts(pool: int, device: str, tolerance: float) -> None:
    """Every order of the axes, of x, of what flows in, and of its derivative."""
    x, scale, offset, weights = (tensor.to(device) for tensor in inputs((2, 2, 5, 4), 1.3))
    expected = second_derivative(scalar(reference, pool, weights))(x, scale, offset)
    layouts = [
        x.transpose(0, 1).contiguous().transpose(0, 1),
        torch.stack([x, -x], -1)[..., 0],
        torch.cat([x, x])[:2],
    ]
    turned = weights.transpose(0, 1).contiguous().transpose(0, 1)
    for layout in layouts:
        actual = second_derivative(scalar(fused, pool, turned))(layout, scale, offset)
        for one, wanted in zip(actual, expected, strict=True):
            close(one, wanted, tolerance)


def check_ties(device: str) -> None:
    """Of equal elements the first wins; where nothing is above zero the gradient is zero."""
    x = torch.zeros(1, 1, 4, 4, dtype=torch.float64, device=device)
    x[..., :2] = 1.0
    ones = torch.ones(1, dtype=torch.float64, device=device)
    for pool, place, shift in ((2, (0, 0), 2.0), (2, (1, 1), 2.0), (1, (3, 3), 2.0), (2, (0, 1), -2.0), (1, (0, 3), 1.0)):
        actual, expected = (
            grad(lambda x: block(x, ones, ones * shift, pool)[(0, 0, *place)])(x)  # noqa: B023
            for block in (fused, reference)
        )
        close(actual, expected, 1e-12)


def check_reduced(dtype: torch.dtype, device: str) -> None:
    """Tensors of a reduced type give what float32 of the same values gives, but for one rounding."""
    generator = torch.Generator().manual_seed(0)

    def draw(*size: int) -> Tensor:
        return torch.randn(size, generator=generator).to(device, dtype)

    x, gy, a = 3 + draw(2, 3, 1, 7, 6), draw(2, 3, 1, 3, 3), draw(2, 3, 1, 7, 6)
    scale, offset, b, c = (draw(2, 1) for _ in range(4))
    for block, tensors in (
        (norm_relu_pool._Block, (x, scale, offset)),
        (norm_relu_pool._BlockBackward, (gy, x, scale, offset)),
        (norm_relu_pool._BlockDoubleBackward, (a, b, c, gy, x, scale, offset)),
    ):
        actual, exact = (block.apply(*to, 2, 1e-5) for to in (tensors, [tensor.float() for tensor in tensors]))
        for one, wanted in zip(*((r,) if isinstance(r, Tensor) else r for r in (actual, exact)), strict=True):
            assert one.dtype == dtype
            torch.testing.assert_close(one.float(), wanted, rtol=torch.finfo(dtype).eps, atol=1e-5)  # the interpreter cuts off


def check_what_is_not_finite_shows(pool: int, device: str) -> None:
    for bad in (float("nan"), float("inf")):
        x, scale, offset, weights = (tensor.to(device) for tensor in inputs((2, 2, 6, 6), 1.3))
        x[1, 0, 4, 4] = bad
        y = fused(x, scale, offset, pool)
        gx = second_derivative(scalar(fused, pool, weights))(x, scale, offset)[0]
        for tensor in (y, gx):
            assert tensor[:, 0].isnan().all()
            assert tensor[:, 1].isfinite().all()

"""The fused kernel against torch operations, and both against finite differences."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.func import grad, jacrev, vmap

from metacl_run.kernels import build
from metacl_run.kernels.norm_relu_pool import SMALLEST, fused, norm_relu_pool, reference
from tests.support.norm_blocks import SIZES, close, inputs, scalar, second_derivative

pytestmark = pytest.mark.skipif(build.load() is None, reason="no compiled kernels here")

POOLS = [1, 2, 3]
SCALES = [1.3, -0.7, 0.0]


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("size", [s for s in SIZES if min(s[2:]) >= 3][:3])
def test_derivatives_agree_with_finite_differences(size: tuple[int, ...], pool: int) -> None:
    x, scale, offset, _ = inputs(size, 1.3)
    args = tuple(t.requires_grad_() for t in (x, scale, offset))
    for block in (fused, reference):
        assert torch.autograd.gradcheck(lambda *a: block(*a, pool), args)  # noqa: B023
        assert torch.autograd.gradgradcheck(lambda *a: block(*a, pool), args)  # noqa: B023


@pytest.mark.parametrize(("size", "pool", "scale"), list(itertools.product(SIZES, POOLS, SCALES)))
def test_float64_equals_torch_operations(size: tuple[int, ...], pool: int, scale: float) -> None:
    *args, weights = inputs(size, scale)
    close(fused(*args, pool), reference(*args, pool), 1e-12)
    ours, theirs = scalar(fused, pool, weights), scalar(reference, pool, weights)
    for derivative in (lambda f: grad(f, argnums=(0, 1, 2)), second_derivative):
        for actual, expected in zip(derivative(ours)(*args), derivative(theirs)(*args), strict=True):
            close(actual, expected, 1e-12)


@pytest.mark.parametrize("pool", POOLS)
def test_float32_is_as_good_as_torch_operations(pool: int) -> None:
    size = (5, 8, 28, 28)
    *exact, weights = inputs(size, 1.3)
    args = [t.float() for t in exact]
    args_back = [t.double() for t in args]
    truth = second_derivative(scalar(reference, pool, weights))(*args_back)
    errors = []
    for block in (fused, reference):
        found = second_derivative(scalar(block, pool, weights.float()))(*args)
        errors.append(max(((f.double() - t).norm() / t.norm()).item() for f, t in zip(found, truth, strict=True)))
    assert errors[0] < max(2 * errors[1], 1e-5)


@pytest.mark.parametrize("pool", POOLS)
def test_layout_of_the_input_does_not_matter(pool: int) -> None:
    size = (3, 4, 9, 10)
    *args, weights = inputs(size, 1.3)
    expected = second_derivative(scalar(reference, pool, weights))(*args)
    x = args[0]
    layouts = [
        x.to(memory_format=torch.channels_last),
        x.transpose(2, 3).contiguous().transpose(2, 3),
        x.transpose(0, 1).contiguous().transpose(0, 1),
        torch.stack([x, -x], -1)[..., 0],
        torch.cat([x, x])[:3],
    ]
    for layout in layouts:
        assert torch.equal(layout, x)
        found = second_derivative(scalar(fused, pool, weights))(layout, *args[1:])
        for actual, wanted in zip(found, expected, strict=True):
            close(actual, wanted, 1e-12)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("axes", [(0, 0, 0), (1, None, None), (2, 0, None), (4, None, 1), (None, 1, 0)])
def test_vmap_equals_a_loop(axes: tuple[int | None, ...], pool: int) -> None:
    size, mapped = (3, 2, 7, 8), 3
    samples = [inputs(size, 1.0 + i)[:3] for i in range(mapped)]
    weights = inputs(size, 1.0)[3]
    operands, rows = [], [[], [], []]
    for i, axis in enumerate(axes):
        values = [s[i] * (j + 1) for j, s in enumerate(samples)]
        rows[i] = [values[0]] * mapped if axis is None else values
        operands.append(values[0] if axis is None else torch.stack(values, axis))
    for derivative in (lambda f: f, lambda f: grad(f, argnums=(0, 1, 2)), second_derivative):
        found = vmap(derivative(scalar(fused, pool, weights)), in_dims=axes)(*operands)
        looped = [derivative(scalar(reference, pool, weights))(*row) for row in zip(*rows, strict=True)]
        if isinstance(found, Tensor):
            close(found, torch.stack(looped), 1e-12)
        else:
            for i, actual in enumerate(found):
                close(actual, torch.stack([each[i] for each in looped]), 1e-12)


def test_vmap_of_vmap_with_what_is_shared_at_either_level() -> None:
    replicates, episodes, size = 2, 3, (3, 2, 6, 6)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(episodes, replicates, *size, generator=generator, dtype=torch.float64)
    scale = torch.randn(replicates, size[1], generator=generator, dtype=torch.float64)  # one for all episodes
    offset = torch.randn(size[1], generator=generator, dtype=torch.float64)  # one for all
    weights = torch.randn(size, generator=generator, dtype=torch.float64)
    derivative = second_derivative(scalar(fused, 2, weights))
    over_episodes = vmap(derivative, in_dims=(0, None, None))
    found = vmap(over_episodes, in_dims=(1, 0, None))(x, scale, offset)
    for r, e in itertools.product(range(replicates), range(episodes)):
        expected = second_derivative(scalar(reference, 2, weights))(x[e, r], scale[r], offset)
        for actual, wanted in zip(found, expected, strict=True):
            close(actual[r, e], wanted, 1e-12)


def test_jacrev() -> None:
    x, scale, offset, _ = inputs((2, 2, 6, 6), 1.3)
    for argument in range(3):
        found = jacrev(lambda *a: fused(*a, 2), argnums=argument)(x, scale, offset)
        close(found, jacrev(lambda *a: reference(*a, 2), argnums=argument)(x, scale, offset), 1e-12)


def test_a_third_derivative_is_refused() -> None:
    x, scale, offset, weights = inputs((2, 2, 6, 6), 1.3)
    third = grad(lambda *a: second_derivative(scalar(fused, 2, weights))(*a)[0].sum())
    with pytest.raises(NotImplementedError, match="a third is not implemented"):
        third(x, scale, offset)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_not_finite_shows(pool: int, bad: float, dtype: torch.dtype) -> None:
    x, scale, offset, weights = inputs((3, 2, 9, 9), 1.3, dtype)
    x[1, 0, 4, 4] = bad
    y = fused(x, scale, offset, pool)
    assert y[:, 0].isnan().all()
    assert y[:, 1].isfinite().all()
    for derivative in (lambda f: grad(f, argnums=(0, 1, 2)), second_derivative):
        for found in derivative(scalar(fused, pool, weights))(x, scale, offset)[:2]:
            channels = found.movedim(1, 0) if found.ndim == 4 else found
            assert channels[0].isnan().all()
            assert channels[1].isfinite().all()


def test_an_equal_window_goes_to_its_first_element_as_in_torch() -> None:
    x = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    x[..., :2] = 1.0
    ones, zeros = torch.ones(1, dtype=torch.float64), torch.full((1,), 2.0, dtype=torch.float64)
    found = grad(lambda x: fused(x, ones, zeros, 2)[0, 0, 0, 0])(x)
    close(found, grad(lambda x: reference(x, ones, zeros, 2)[0, 0, 0, 0])(x), 1e-12)


def test_one_thread_and_many_give_the_same_bits() -> None:
    threads = torch.get_num_threads()
    x, scale, offset, weights = inputs((5, 16, 28, 28), 1.3, torch.float32)
    try:
        found = []
        for count in (1, 4):
            torch.set_num_threads(count)
            found.append(second_derivative(scalar(fused, 2, weights))(x, scale, offset))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_statistics_of_bf16_are_taken_in_float32() -> None:
    torch.manual_seed(0)
    x = (100 + torch.randn(4, 2, 12, 12)).bfloat16()  # in bfloat16 these numbers have 3 digits, and their variance none
    scale, offset = torch.ones(2).bfloat16(), torch.zeros(2).bfloat16()
    expected = reference(x.float(), scale.float(), offset.float(), 2)
    assert torch.equal(norm_relu_pool(x, scale, offset, 2), expected.bfloat16())


def test_small_inputs_take_torch_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Tensor:
        raise AssertionError("the kernel was called")

    monkeypatch.setattr("metacl_run.kernels.norm_relu_pool.fused", refuse)
    scale, offset = torch.ones(1), torch.zeros(1)
    norm_relu_pool(torch.randn(1, 1, 1, SMALLEST - 1), scale, offset)
    with pytest.raises(AssertionError, match="the kernel was called"):
        norm_relu_pool(torch.randn(1, 1, 1, SMALLEST), scale, offset)

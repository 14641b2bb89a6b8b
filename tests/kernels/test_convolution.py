"""Convolutions as batched products against torch's own, with all derivatives, mapped as meta-learning maps them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.func import grad, vjp, vmap
from torch.nn.functional import conv2d

from metacl_run.kernels.convolution import batched, convolution
from metacl_run.models.layers import Conv2d

Form = Callable[[Tensor, Tensor], Tensor]

SEEDS, EPISODES, IMAGES, CHANNELS, OUTPUTS = 2, 3, 4, 3, 5


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12 * expected.abs().max().item())


def meta_gradient(form: Form) -> Callable[..., tuple[Tensor, ...]]:
    """The gradient through two inner steps, in which weights and images change, with respect to all that enters."""

    def inner(weight: Tensor, x: Tensor) -> Tensor:
        return form(x, weight).sin().square().mean()

    def outer(weight: Tensor, x: Tensor, query: Tensor) -> Tensor:
        for _ in range(2):
            step_weight, step_x = grad(inner, (0, 1))(weight, x)
            weight, x = weight - 3.0 * step_weight, x - 3.0 * step_x
        return form(query + x, weight).pow(3).mean()

    return grad(outer, (0, 1, 2))


def inputs(kernel: int, sides: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    weight = torch.randn(SEEDS, OUTPUTS, CHANNELS, kernel, kernel, dtype=torch.float64)
    x, query = torch.randn(2, SEEDS, EPISODES, IMAGES, CHANNELS, *sides, dtype=torch.float64)
    return weight, x, query


@pytest.mark.parametrize("sides", [(7, 7), (8, 5)])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (3, 1, 0), (3, 2, 0), (1, 1, 0), (1, 2, 0), (2, 3, 3)]
)
def test_meta_gradients_of_episodes_and_seeds(kernel: int, stride: int, padding: int, sides: tuple[int, int]) -> None:
    """The weights are shared among the episodes of a seed at first, and are an episode's own after a step."""
    found, expected = (
        vmap(vmap(meta_gradient(partial(form, stride=stride, padding=padding)), (None, 0, 0)))(*inputs(kernel, sides))
        for form in (batched, conv2d)
    )
    for actual, wanted in zip(found, expected, strict=True):
        close(actual, wanted)


@pytest.mark.parametrize("axes", [(0, 0), (0, None), (None, 0)], ids=["both", "images", "weights"])
@pytest.mark.parametrize("inside", [False, True], ids=["map_of_gradient", "gradient_of_map"])
def test_second_derivatives_of_what_is_mapped(axes: tuple[int | None, int | None], inside: bool) -> None:
    weights, episodes, _ = inputs(3, (6, 7))
    x, weight = (tensors if axis == 0 else tensors[0] for tensors, axis in zip((episodes[:, 0], weights), axes, strict=True))

    def second(form: Form) -> tuple[Tensor, ...]:
        mapped = vmap(form, axes) if inside else form

        def value(x: Tensor, w: Tensor) -> Tensor:
            return mapped(x, w).sin().sum()

        size = grad(lambda x, w: sum(part.square().sum() for part in grad(value, (0, 1))(x, w)), (0, 1))
        return (size if inside else vmap(size, axes))(x, weight)

    for found, expected in zip(second(batched), second(conv2d), strict=True):
        close(found, expected)


@pytest.mark.parametrize("axis", range(3), ids=["images", "weights", "cotangent"])
def test_gradients_where_one_tensor_alone_is_mapped(axis: int) -> None:
    weights, episodes, _ = inputs(3, (6, 7))
    cotangents = torch.randn(SEEDS, IMAGES, OUTPUTS, 4, 5, dtype=torch.float64)
    axes = [0 if i == axis else None for i in range(3)]
    tensors = [tensor if i == axis else tensor[0] for i, tensor in enumerate((episodes[:, 0], weights, cotangents))]

    def gradients(form: Form) -> tuple[Tensor, ...]:
        return vmap(lambda x, w, cotangent: vjp(form, x, w)[1](cotangent), tuple(axes))(*tensors)

    for found, expected in zip(gradients(batched), gradients(conv2d), strict=True):
        close(found, expected)


def test_a_layer_is_the_one_of_torch_on_the_cpu() -> None:
    layers = []
    for kind in (Conv2d, torch.nn.Conv2d):
        torch.manual_seed(0)
        layers.append(kind(3, 4, 3, stride=2, padding=1))
    ours, theirs = layers
    x = torch.randn(2, 3, 9, 9)
    assert torch.equal(ours(x), theirs(x))
    assert [*ours.state_dict()] == [*theirs.state_dict()]


@pytest.mark.gpu
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("stride", [1, 2])
def test_on_a_card(stride: int, padding: int) -> None:
    weight, x, query = inputs(3, (9, 8))
    bias = torch.randn(OUTPUTS, dtype=torch.float64)

    def on(device: str) -> tuple[Tensor, ...]:
        def form(x: Tensor, weight: Tensor) -> Tensor:
            return convolution(x, weight, bias.to(device), stride, padding)

        return vmap(vmap(meta_gradient(form), (None, 0, 0)))(*(tensor.to(device) for tensor in (weight, x, query)))

    for found, expected in zip(on("cuda"), on("cpu"), strict=True):
        close(found.cpu(), expected)

"""The perceptron kernels of a card against torch operations: by Triton's interpreter, and on a card where there is one."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable

import pytest
import torch

from metacl_run.kernels import perceptron
from tests.support import perceptron_cases as cases

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")
Run = Callable[..., None]

TILES = [40, 130, 100, 7]
"""A layer of several tiles, both ways."""


@pytest.mark.parametrize(
    ("sizes", "shape", "beta"),
    [
        ([5, 3], (2, 2, 2), 0.3),
        ([7, 6, 4], (1, 3, 3), 1.0),
        ([7, 5, 6, 4], (2, 3, 1), 0.3),
        ([6, 5, 9, 4, 3], (1, 2, 2), 1.0),
    ],
)
def test_sgd(sizes: list[int], shape: tuple[int, int, int], beta: float, interpreted: Run) -> None:
    interpreted(cases.check_sgd, sizes, shape, beta, "cpu", torch.float64)


@pytest.mark.parametrize(("sizes", "steps"), [([5, 3], 2), ([7, 6, 4], 3), ([6, 5, 9, 4, 3], 2)])
def test_look_ahead(sizes: list[int], steps: int, interpreted: Run) -> None:
    interpreted(cases.check_look_ahead, sizes, steps, "cpu", torch.float64)


def test_layers_of_several_tiles(interpreted: Run) -> None:
    interpreted(cases.check_sgd, TILES, (1, 2, 1), 1.0, "cpu", torch.float32)


def test_what_is_not_finite_shows(interpreted: Run) -> None:
    interpreted(cases.check_not_a_number, "cpu")


def test_the_kernels_compile_for_a_card() -> None:
    cases.check_compiles([5, 6, 3])


def test_what_is_too_large_is_left_to_torch() -> None:
    from metacl_run.kernels import perceptron_gram as card

    def fits(sizes: list[int], samples: int) -> bool:
        shapes = [shape for inputs, outputs in itertools.pairwise(sizes) for shape in ((outputs, inputs), (outputs,))]
        return card.fits(torch.empty(samples, sizes[0]), [torch.empty(shape) for shape in shapes])

    assert fits([784, 512, 100, 10], card.MOST_SAMPLES)
    assert not fits([784, 100, 10], card.MOST_SAMPLES + 1)
    assert not fits([784, 513, 10], 10)
    assert not fits([8] * (card.MOST_LAYERS + 2), 10)


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("sizes", "dtype"),
    [
        ([9, 4], torch.float64),
        ([30, 20, 5], torch.float64),
        ([784, 100, 100, 10], torch.float32),
        (TILES, torch.float32),
    ],
    ids=str,
)
def test_on_a_card(sizes: list[int], dtype: torch.dtype) -> None:
    x, weight, offset = (torch.zeros(shape, dtype=dtype, device="cuda") for shape in ((2, sizes[0]), (2, sizes[0]), (2,)))
    assert perceptron.usable(x, [weight, offset])
    for shape, beta in (((1, 5, 20), 1.0), ((5, 11, 1), 0.3)):
        cases.check_sgd(sizes, shape, beta, "cuda", dtype)
    cases.check_look_ahead(sizes, 10, "cuda", dtype)


@pytest.mark.gpu
def test_what_is_not_finite_shows_on_a_card() -> None:
    cases.check_not_a_number("cuda")

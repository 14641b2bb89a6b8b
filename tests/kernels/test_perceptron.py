"""The compiled sample-by-sample learning of a perceptron, against plain autograd, step by step."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from metacl_run.kernels import build, perceptron

pytestmark = pytest.mark.skipif(build.load() is None, reason="no compiled kernels here")
SIZES = [[7, 5, 6, 4], [7, 4], [9, 6, 3]]


def draw(sizes: list[int], seed: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    found = []
    for below, above in itertools.pairwise(sizes):
        found += [torch.randn(shape, dtype=dtype, generator=generator) for shape in ((above, below), (above,))]
    return found


def images(*shape: int, classes: int, seed: int) -> tuple[Tensor, Tensor]:
    """Inputs of which half are exactly 0, and labels."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*shape, dtype=torch.float64, generator=generator).relu()
    return x, torch.randint(0, classes, shape[:-1], generator=generator)


def loss_of(parameters: list[Tensor], x: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
    for i in range(0, len(parameters) - 2, 2):
        x = torch.relu(x @ parameters[i].T + parameters[i + 1])
    losses = cross_entropy(x @ parameters[-2].T + parameters[-1], y, reduction="none")
    return losses.mean() if weight is None else (losses * weight).sum() / weight.sum()


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_sgd_is_torch_optims_step_by_step(sizes: list[int], beta: float) -> None:
    x, y = images(3, 4, sizes[0], classes=sizes[-1], seed=1)
    weight = torch.ones(3, 4, dtype=torch.float64)
    weight[1, 2], weight[2, 0] = 0, 0.5
    expected = [p.clone().requires_grad_() for p in draw(sizes, 0)]
    optimizer = torch.optim.SGD(expected, lr=0.2)
    total = 0.0
    for group in range(3):
        before = [p.detach().clone() for p in expected]
        for step in range(4):
            optimizer.zero_grad()
            loss = weight[group, step] * loss_of(expected, x[group, step : step + 1], y[group, step : step + 1])
            loss.backward()
            total += loss.item()
            optimizer.step()
        with torch.no_grad():
            for start, p in zip(before, expected, strict=True):
                p.copy_(start + beta * (p - start))
    found, loss = perceptron.sgd(draw(sizes, 0), x[:, :, None], y[:, :, None], weight[:, :, None], rate=0.2, beta=beta)
    for f, e in zip(found, expected, strict=True):
        torch.testing.assert_close(f, e.detach(), rtol=1e-12, atol=1e-12)
    assert loss.item() == pytest.approx(total / weight.sum().item())


@pytest.mark.parametrize("sizes", SIZES)
def test_a_step_on_a_batch_follows_its_weighted_mean_loss(sizes: list[int]) -> None:
    x, y = images(1, 3, 5, sizes[0], classes=sizes[-1], seed=4)
    weight = torch.tensor([[1, 1, 0, 1, 0], [0, 0, 0, 0, 0], [1, 0.5, 1, 1, 1]], dtype=torch.float64)[None]
    expected = [p.clone().requires_grad_() for p in draw(sizes, 0)]
    optimizer = torch.optim.SGD(expected, lr=0.2)
    for step in (0, 2):
        optimizer.zero_grad()
        loss_of(expected, x[0, step], y[0, step], weight[0, step]).backward()
        optimizer.step()
    found, _ = perceptron.sgd(draw(sizes, 0), x, y, weight, rate=0.2, beta=1.0)
    for f, e in zip(found, expected, strict=True):
        torch.testing.assert_close(f, e.detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sizes", SIZES)
def test_looking_ahead_is_the_derivative_with_inner_gradients_constant(sizes: list[int]) -> None:
    x, y = images(5, sizes[0], classes=sizes[-1], seed=2)
    u, v = images(6, sizes[0], classes=sizes[-1], seed=3)
    weight = torch.tensor([1, 1, 0, 1, 1, 0], dtype=torch.float64)
    start = [p.requires_grad_() for p in draw(sizes, 0)]
    rates = [(0.1 * p).requires_grad_() for p in draw(sizes, 5)]  # about half are negative: cut off at 0
    moving, losses = start, []
    for i in range(5):
        constants = [p.detach().requires_grad_() for p in moving]
        gradients = torch.autograd.grad(loss_of(constants, x[i : i + 1], y[i : i + 1]), constants)
        moving = [p - r.relu() * g for p, r, g in zip(moving, rates, gradients, strict=True)]
        losses.append(loss_of(moving, u, v, weight))
    objective = torch.stack(losses).mean()
    expected = torch.autograd.grad(objective, [*start, *rates])
    plain, positive = [p.detach() for p in start], [r.detach().relu() for r in rates]
    along, by_rate, loss = perceptron.look_ahead(plain, positive, (x, y), (u, v, weight))
    for f, e in zip([*along, *by_rate], expected, strict=True):
        torch.testing.assert_close(f, e, rtol=1e-10, atol=1e-12)
    assert loss.item() == pytest.approx(objective.item(), rel=1e-12)


def test_mapped_over_problems_each_gets_its_own_answer_in_any_number_of_threads() -> None:
    sizes = SIZES[0]
    x, y = images(3, 2, 4, 3, sizes[0], classes=4, seed=1)
    weight = torch.ones(3, 2, 4, 3, dtype=torch.float64)
    parameters = [torch.stack(parts) for parts in zip(*(draw(sizes, seed) for seed in range(3)), strict=True)]

    def one(x: Tensor, y: Tensor, weight: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
        moved, loss = perceptron.sgd(parameters, x, y, weight, rate=0.1, beta=0.5)
        return *moved, loss

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        mapped = torch.vmap(one)(x, y, weight, *parameters)
    finally:
        torch.set_num_threads(before)
    for i in range(3):
        for m, e in zip(mapped, one(x[i], y[i], weight[i], *(p[i] for p in parameters)), strict=True):
            torch.testing.assert_close(m[i], e, rtol=0, atol=0)


def test_what_is_not_finite_shows() -> None:
    sizes = SIZES[0]
    x, y = images(1, 2, 1, sizes[0], classes=4, seed=1)
    parameters = draw(sizes, 0)
    parameters[0][0, 0] = torch.nan
    x[0, 0, 0, 0] = 1.0
    moved, loss = perceptron.sgd(parameters, x, y, torch.ones(1, 2, 1, dtype=torch.float64), rate=0.1, beta=1.0)
    assert loss.isnan()
    assert moved[-1].isnan().any()


def test_a_derivative_is_refused() -> None:
    x, y = images(1, 2, 1, 7, classes=4, seed=1)
    parameters = [p.requires_grad_() for p in draw(SIZES[0], 0)]
    moved, _ = perceptron.sgd(parameters, x, y, torch.ones(1, 2, 1, dtype=torch.float64), rate=0.1, beta=1.0)
    assert not moved[0].requires_grad

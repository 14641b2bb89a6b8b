"""iMAML on a quadratic, where its solution and its meta-gradient are in closed form, and on a network, by Newton's method and
finite differences; conjugate gradients against a solver."""

from __future__ import annotations

import dataclasses
import math
from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn

from metacl_run.algorithms.continual_meta.imaml import IMaml
from metacl_run.core.types import Episode
from metacl_run.inner.conjugate_gradient import conjugate_gradient
from metacl_run.models.network import Network
from metacl_run.scoring.objectives import REGRESSION
from tests.algorithms.test_algorithms import COMMON

STRENGTH, INPUTS = 0.7, 4
IMAML = IMaml(
    **COMMON,  # type: ignore[arg-type]
    strength=STRENGTH,
    inner_lr=0.2,
    inner_steps=200,
    eval_inner_steps=200,
    cg_steps=INPUTS + 1,
)


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(INPUTS, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x)


def linear_regression() -> tuple[Network, dict[str, dict[str, Tensor]], Episode]:
    torch.manual_seed(0)
    module = Line().double()
    x, query_x = torch.randn(2, 6, INPUTS, dtype=torch.float64)
    y, query_y = torch.randn(2, 6, 1, dtype=torch.float64)
    params = {name: value.detach().clone() for name, value in module.named_parameters()}
    batches = torch.zeros(0, 0, dtype=torch.int64)
    return Network(module, 1, objective=REGRESSION), {"params": params}, Episode(x, y, query_x, query_y, batches)


def with_ones(x: Tensor) -> Tensor:
    return torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1)


def solution(theta: Tensor, episode: Episode) -> tuple[Tensor, Tensor]:
    """phi* of the regularised least squares, and the Hessian of its mean squared error; weight and offset in one vector."""
    rows = with_ones(episode.support_x)
    hessian, pull = 2 * rows.T @ rows / len(rows), STRENGTH * torch.eye(INPUTS + 1, dtype=rows.dtype)
    right = 2 * rows.T @ episode.support_y[:, 0] / len(rows) + STRENGTH * theta
    return torch.linalg.solve(hessian + pull, right), hessian


def test_a_quadratic_has_the_solution_and_the_meta_gradient_of_the_closed_form() -> None:
    network, meta, episode = linear_regression()
    theta = torch.cat([meta["params"]["head.weight"][0], meta["params"]["head.bias"]])
    phi, hessian = solution(theta, episode)
    adapted = IMAML.learn(network, meta, {}, episode)
    torch.testing.assert_close(torch.cat([adapted["head.weight"][0], adapted["head.bias"]]), phi)

    rows = with_ones(episode.query_x)
    slope = 2 * rows.T @ (rows @ phi - episode.query_y[:, 0]) / len(rows)
    expected = torch.linalg.solve(torch.eye(INPUTS + 1, dtype=phi.dtype) + hessian / STRENGTH, slope)
    direction = IMAML.episode_update(network, meta, {}, episode).direction["params"]
    found = torch.cat([direction["head.weight"][0], direction["head.bias"]])
    torch.testing.assert_close(found, expected)

    def loss(theta: Tensor) -> float:
        return float(((rows @ solution(theta, episode)[0] - episode.query_y[:, 0]) ** 2).mean())

    for place, step in enumerate(1e-5 * torch.eye(INPUTS + 1, dtype=phi.dtype)):
        assert found[place].item() == pytest.approx((loss(theta + step) - loss(theta - step)) / 2e-5, rel=1e-6, abs=1e-9)


def test_on_a_network_the_meta_gradient_is_that_of_the_exact_solution() -> None:
    """The inner problem is solved by Newton's method on the written-out network; its derivative is a finite difference."""
    torch.manual_seed(3)
    shapes, ways, strength = {"body.weight": (3, INPUTS), "body.bias": (3,), "head.weight": (3, 3), "head.bias": (3,)}, 3, 1.5
    sizes = [math.prod(shape) for shape in shapes.values()]
    module = nn.Sequential(OrderedDict(body=nn.Linear(INPUTS, 3), tanh=nn.Tanh(), head=nn.Linear(3, ways))).double()
    x, query_x = torch.randn(2, 9, INPUTS, dtype=torch.float64)
    y, query_y = torch.arange(9) % ways, (torch.arange(9) + 1) % ways

    def loss(flat: Tensor, x: Tensor, y: Tensor) -> Tensor:
        weight, bias, head, offset = (part.view(shape) for part, shape in zip(flat.split(sizes), shapes.values(), strict=True))
        outputs = torch.tanh(x @ weight.T + bias) @ head.T + offset
        return -outputs.log_softmax(1)[torch.arange(len(y)), y].mean()

    def solved(theta: Tensor) -> Tensor:
        def pulled(phi: Tensor) -> Tensor:
            return loss(phi, x, y) + strength / 2 * ((phi - theta) ** 2).sum()

        slope, phi = torch.func.grad(pulled), theta
        for _ in range(12):
            phi = phi - torch.linalg.solve(torch.func.jacrev(slope)(phi), slope(phi))
        assert slope(phi).norm() < 1e-13
        return phi

    params = {name: value.detach().clone() for name, value in module.named_parameters()}
    learner = dataclasses.replace(IMAML, strength=strength, inner_lr=0.3, inner_steps=300, cg_steps=sum(sizes))
    episode = Episode(x, y, query_x, query_y, torch.zeros(0, 0, dtype=torch.int64))
    direction = learner.episode_update(Network(module, ways), {"params": params}, {}, episode).direction["params"]
    meta_gradient = torch.cat([direction[name].flatten() for name in shapes])
    theta = torch.cat([params[name].flatten() for name in shapes])
    for place, step in enumerate(1e-4 * torch.eye(len(theta), dtype=theta.dtype)):
        sides = [loss(solved(theta + sign * step), query_x, query_y) for sign in (1, -1)]
        assert meta_gradient[place].item() == pytest.approx((sides[0] - sides[1]).item() / 2e-4, rel=1e-5, abs=1e-8)


def test_inner_steps_are_those_of_torch_optim() -> None:
    network, meta, episode = linear_regression()
    learner = dataclasses.replace(IMAML, eval_inner_steps=3)
    module = Line().double()
    module.load_state_dict(meta["params"])
    optimizer = torch.optim.SGD(module.parameters(), lr=learner.inner_lr)
    for step, fast in enumerate(learner.learn_by_step(network, meta, {}, episode)):
        for name, value in module.state_dict().items():
            torch.testing.assert_close(fast[name], value, msg=f"{name} after {step} steps")
        optimizer.zero_grad()
        pull = sum(((value - meta["params"][name]) ** 2).sum() for name, value in module.named_parameters())
        (nn.functional.mse_loss(module(episode.support_x), episode.support_y) + STRENGTH / 2 * pull).backward()
        optimizer.step()


def test_conjugate_gradients_solve_and_stop_where_there_is_no_positive_curvature() -> None:
    torch.manual_seed(1)
    root = torch.randn(5, 5, dtype=torch.float64)
    matrix, right = root @ root.T + torch.eye(5, dtype=torch.float64), torch.randn(5, dtype=torch.float64)

    def solved(matrix: Tensor, right: Tensor, steps: int) -> Tensor:
        def product(vector: dict[str, Tensor]) -> dict[str, Tensor]:
            image = matrix @ torch.cat([vector["a"], vector["b"].flatten()])
            return {"a": image[:3], "b": image[3:].view(2, 1)}

        answer = conjugate_gradient(product, {"a": right[:3], "b": right[3:].view(2, 1)}, steps)
        return torch.cat([answer["a"], answer["b"].flatten()])

    torch.testing.assert_close(solved(matrix, right, 5), torch.linalg.solve(matrix, right))
    torch.testing.assert_close(solved(matrix, right, 9), torch.linalg.solve(matrix, right), rtol=1e-6, atol=1e-8)
    one_step = right * (right @ right) / (right @ matrix @ right)
    torch.testing.assert_close(solved(matrix, right, 1), one_step)
    torch.testing.assert_close(solved(-matrix, right, 5), right)
    bent = torch.diag(torch.tensor([1.0, 1.0, 1.0, 1.0, -9.0], dtype=torch.float64))  # bent upwards along the right side
    right = torch.tensor([1.0, 2.0, 3.0, 4.0, 0.5], dtype=torch.float64)
    torch.testing.assert_close(solved(bent, right, 1), right * (right @ right) / (right @ bent @ right))
    torch.testing.assert_close(solved(bent, right, 2), solved(bent, right, 1))  # the second direction is not
    assert not solved(matrix, torch.zeros(5, dtype=torch.float64), 5).any()

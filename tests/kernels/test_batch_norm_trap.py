"""The trap: torch's own batch norm under the obvious nesting of vmap has wrong second derivatives; ours has right ones.

Each meta-gradient is compared with a loop over tasks in plain autograd, in float64. Softplus keeps the network smooth.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.func import grad, vmap
from torch.nn import functional as F

from metacl_run.kernels import build
from metacl_run.kernels.norm_relu_pool import batch_norm, fused, reference

Norm = Callable[[Tensor, Tensor, Tensor], Tensor]
Params = dict[str, Tensor]
TASKS, WAYS, STEPS, RATE = 4, 3, 2, 0.3


def stock(x: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    return F.softplus(F.batch_norm(x, None, None, scale, offset, training=True))


def primitives(x: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    return F.softplus(batch_norm(x, scale, offset))


def block(x: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    return fused(x, scale, offset, 1)


def block_reference(x: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    return reference(x, scale, offset, 1)


def meta_loss(params: Params, task: Tensor, norm: Norm) -> Tensor:
    """Query loss after STEPS inner steps; task [2, WAYS, 1, 6, 6] holds a support and a query image of each class."""

    def loss(params: Params, x: Tensor) -> Tensor:
        for layer in ("1", "2"):
            x = norm(F.conv2d(x, params["w" + layer], padding=1), params["s" + layer], params["o" + layer])
        return F.cross_entropy(x.mean((2, 3)) @ params["head"], torch.arange(WAYS))

    fast = params
    for _ in range(STEPS):
        gradients = grad(loss)(fast, task[0])
        fast = {name: fast[name] - RATE * gradients[name] for name in fast}
    return loss(fast, task[1])


def plain_loop(params: Params, tasks: Tensor, norm: Norm) -> Params:
    """The mean meta-gradient by `torch.autograd.grad`, one task after another, no torch.func."""
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}

    def loss(p: Params, x: Tensor) -> Tensor:
        for layer in ("1", "2"):
            x = norm(F.conv2d(x, p["w" + layer], padding=1), p["s" + layer], p["o" + layer])
        return F.cross_entropy(x.mean((2, 3)) @ p["head"], torch.arange(WAYS))

    total = torch.zeros(())
    for task in tasks:
        fast = leaves
        for _ in range(STEPS):
            gradients = torch.autograd.grad(loss(fast, task[0]), list(fast.values()), create_graph=True)
            fast = {name: value - RATE * g for (name, value), g in zip(fast.items(), gradients, strict=True)}
        total = total + loss(fast, task[1]) / len(tasks)
    return dict(zip(leaves, torch.autograd.grad(total, list(leaves.values())), strict=True))


def gradient_inside(params: Params, tasks: Tensor, norm: Norm) -> Params:
    each = vmap(lambda task: grad(meta_loss)(params, task, norm))(tasks)
    return {name: value.mean(0) for name, value in each.items()}


def gradient_outside(params: Params, tasks: Tensor, norm: Norm) -> Params:
    return grad(lambda p: vmap(lambda task: meta_loss(p, task, norm))(tasks).mean())(params)


def make(seed: int) -> tuple[Params, Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def randn(*size: int) -> Tensor:
        return torch.randn(size, generator=generator, dtype=torch.float64)

    params = {
        "w1": randn(4, 1, 3, 3) / 3, "s1": 1 + 0.1 * randn(4), "o1": 0.1 * randn(4),
        "w2": randn(4, 4, 3, 3) / 6, "s2": 1 + 0.1 * randn(4), "o2": 0.1 * randn(4),
        "head": randn(4, WAYS),
    }  # fmt: skip
    return params, randn(TASKS, 2, WAYS, 1, 6, 6)


def error(found: Params, expected: Params) -> float:
    """Relative error of the whole gradient."""
    flat = [torch.cat([p[name].flatten() for name in expected]) for p in (found, expected)]
    return ((flat[0] - flat[1]).norm() / flat[1].norm()).item()


nestings = pytest.mark.parametrize("nesting", [gradient_inside, gradient_outside])
ours = pytest.mark.parametrize(
    ("norm", "answer"),
    [
        pytest.param(primitives, stock, id="batch_norm"),
        pytest.param(
            block,
            block_reference,
            id="norm_relu_pool",
            marks=pytest.mark.skipif(build.load() is None, reason="no compiled kernels here"),
        ),
    ],
)


def test_the_trap_is_real() -> None:
    params, tasks = make(0)
    expected = plain_loop(params, tasks, stock)
    assert error(gradient_inside(params, tasks, stock), expected) < 1e-12
    wrong = error(gradient_outside(params, tasks, stock), expected)
    if wrong < 1e-12:
        pytest.skip(f"torch {torch.__version__} has mended F.batch_norm under vmap")
    assert wrong > 1e-3


@ours
@nestings
def test_ours_is_right_under_either_nesting(nesting: Callable[..., Params], norm: Norm, answer: Norm) -> None:
    params, tasks = make(0)
    assert error(nesting(params, tasks, norm), plain_loop(params, tasks, answer)) < 1e-12


@ours
@nestings
def test_ours_is_right_with_replicates_outside(nesting: Callable[..., Params], norm: Norm, answer: Norm) -> None:
    made = [make(seed) for seed in range(3)]
    stacked = {name: torch.stack([params[name] for params, _ in made]) for name in made[0][0]}
    found = vmap(lambda p, t: nesting(p, t, norm))(stacked, torch.stack([tasks for _, tasks in made]))
    for r, (params, tasks) in enumerate(made):
        single = {name: value[r] for name, value in found.items()}
        assert error(single, plain_loop(params, tasks, answer)) < 1e-12


def test_the_trap_is_real_with_replicates_outside() -> None:
    made = [make(seed) for seed in range(3)]
    stacked = {name: torch.stack([params[name] for params, _ in made]) for name in made[0][0]}
    batched = torch.stack([tasks for _, tasks in made])
    errors = {}
    for nesting in (gradient_inside, gradient_outside):
        found = vmap(lambda p, t: nesting(p, t, stock))(stacked, batched)  # noqa: B023
        errors[nesting] = max(
            error({name: value[r] for name, value in found.items()}, plain_loop(params, tasks, stock))
            for r, (params, tasks) in enumerate(made)
        )
    assert errors[gradient_inside] < 1e-12
    if errors[gradient_outside] < 1e-12:
        pytest.skip(f"torch {torch.__version__} has mended F.batch_norm under vmap")
    assert errors[gradient_outside] > 1e-3

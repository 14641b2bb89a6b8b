"""Comparisons of the perceptron kernels of a card with torch operations, for a process of their own or for a card.

Interpreted, the kernels compute tensors on the CPU: `interpreted` begins such a process, and `card` says so to perceptron.py.
"""

from __future__ import annotations

import itertools
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.func import grad, grad_and_value, vmap
from torch.testing import assert_close

from metacl_run.core.types import Params, Samples, WeightedSamples
from metacl_run.inner.perceptron_sgd import look_ahead, sgd
from metacl_run.kernels import build, perceptron
from metacl_run.models.layers import Perceptron
from metacl_run.models.network import Network

PROBLEMS = 3


def check_sgd(sizes: list[int], shape: tuple[int, int, int], beta: float, device: str, dtype: torch.dtype) -> None:
    """G groups of S steps on B samples, mapped over problems that share their weights of samples."""
    network, params = _problem(sizes, dtype, device)
    samples = _samples(sizes, PROBLEMS, *shape, dtype=dtype, device=device)
    weight = torch.ones(shape, dtype=dtype, device=device)
    weight.view(-1)[1::3] = 0
    weight.view(-1)[2::5] = 0.5
    weight[0, 1] = 0  # a step without a sample

    def steps(params: Params, samples: Samples) -> tuple[Params, Tensor]:
        return sgd(network, params, WeightedSamples(samples, weight), rate=0.3, beta=beta)

    results = vmap(steps)(params, samples)
    alone = steps(*_first(params, samples))
    with build.without(), mock.patch.object(perceptron, "usable", return_value=False):
        expected = vmap(steps)(params, samples)
    _assert_close(results, expected, dtype)
    _assert_close(alone, _first(*expected), dtype)


def check_look_ahead(sizes: list[int], steps: int, device: str, dtype: torch.dtype) -> None:
    """Against derivatives by torch.func of the objective as it is written, mapped over problems."""
    network, params = _problem(sizes, dtype, device)
    rates = {name: 0.3 * torch.randn_like(value).relu() for name, value in params.items()}
    samples = _samples(sizes, PROBLEMS, steps, dtype=dtype, device=device)
    joint = _samples(sizes, PROBLEMS, 4, dtype=dtype, device=device)
    weight = torch.tensor([1.0, 0.0, 1.0, 1.0], dtype=dtype, device=device)

    def kernel(params: Params, rates: Params, samples: Samples, joint: Samples) -> Any:
        return look_ahead(network, params, rates, samples, WeightedSamples(joint, weight))

    def loops(params: Params, rates: Params, samples: Samples, joint: Samples) -> Any:
        def objective(params: Params, rates: Params) -> Tensor:
            moving, losses = params, []
            for step in range(steps):
                gradient = grad(network.loss)({name: value.detach() for name, value in moving.items()}, *samples.at([step]))
                moving = {name: moving[name] - rates[name].relu() * gradient[name].detach() for name in moving}
                losses.append(network.weighted_loss(moving, joint, weight))
            return torch.stack(losses).mean()

        (by_params, by_rates), loss = grad_and_value(objective, argnums=(0, 1))(params, rates)
        return by_params, by_rates, loss

    results = vmap(kernel)(params, rates, samples, joint)
    _assert_close(results, vmap(loops)(params, rates, samples, joint), dtype)


def check_not_a_number(device: str) -> None:
    """A diverged network shows, in the loss and in what follows from it."""
    network, params = _problem([5, 4, 3], torch.float64, device)
    params["body.0.weight"][0, 0, 0] = torch.nan
    samples = _samples([5, 4, 3], PROBLEMS, 1, 2, 1, dtype=torch.float64, device=device)
    weight = torch.ones(1, 2, 1, dtype=torch.float64, device=device)
    moved, loss = vmap(lambda p, s: sgd(network, p, WeightedSamples(s, weight), rate=0.1))(params, samples)
    assert loss.isnan().tolist() == [True, False, False]
    assert moved["head.bias"].isnan().any(1).tolist() == [True, False, False]


def check_compiles(sizes: list[int]) -> None:
    """Compiles both kernels for a card that is not there; what the interpreter takes, the compiler may not."""
    import triton
    from triton.backends.compiler import GPUTarget

    from metacl_run.kernels import perceptron_triton

    counts = {"groups": 2, "steps": 3, "batch": 2, "rate": 0.1, "beta": 0.3}
    for kernel in (perceptron_triton._sgd, perceptron_triton._look_ahead):
        constants = {**counts, "plan": perceptron_triton.Plan.of(sizes, 12, max(sizes) + 1)}
        types = {name: "constexpr" if name in constants else "*fp32" for name in kernel.arg_names} | {"y": "*i64"}
        places = {(place,): constants[name] for place, name in enumerate(kernel.arg_names) if name in constants}
        source = triton.compiler.ASTSource(kernel, types, places)
        target, options = GPUTarget("cuda", 90, 32), {"num_warps": perceptron_triton.WARPS, "num_stages": 1}
        assert triton.compile(source, target=target, options=options).asm["cubin"]


def _problem(sizes: list[int], dtype: torch.dtype, device: str) -> tuple[Network, Params]:
    """A perceptron, and parameters [PROBLEMS, ...]."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes[:-1]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    network = Network(Perceptron(nn.Sequential(*layers), nn.Linear(*sizes[-2:])).to(device, dtype), sizes[-1])
    params = {}
    for name, value in network.module.named_parameters():
        numbers = torch.randn(PROBLEMS, *value.shape, dtype=torch.float64) / value.shape[-1] ** 0.5
        params[name] = numbers.to(device, dtype)
    return network, params


def _samples(sizes: list[int], *shape: int, dtype: torch.dtype, device: str) -> Samples:
    """Half of the inputs are 0, the others such that no network diverges on them."""
    x = (torch.randn(*shape, sizes[0], dtype=torch.float64).relu() * (8 / sizes[0]) ** 0.5).to(device, dtype)
    y = torch.randint(0, sizes[-1], shape).to(device)
    return Samples(x, y, torch.zeros_like(y))


def _first(*trees: Any) -> Any:
    return torch.utils._pytree.tree_map(lambda leaf: leaf[0], trees)


def _assert_close(results: Any, expected: Any, dtype: torch.dtype) -> None:
    tolerance = 1e-11 if dtype == torch.float64 else 1e-4
    assert_close(results, expected, rtol=tolerance, atol=tolerance)

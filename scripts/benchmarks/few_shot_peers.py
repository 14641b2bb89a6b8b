"""MAML as others write it: a loop over tasks in plain autograd, in higher 0.2.1 and in TorchOpt 0.7.3, as in their examples.

All leave the mean meta-gradient of a meta-batch in `network.parameters()`'s `.grad`. The network is made of stock layers.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

INNER_LR = 0.4
OUTER_LR = 0.001


@dataclass(frozen=True)
class Problem:
    """One row: 1-shot, 1-query episodes of 28x28 images, Conv4-64, one Adam step per meta-batch."""

    ways: int
    tasks: int
    steps: int
    first_order: bool


Batch = tuple[Tensor, Tensor, Tensor, Tensor]
"""Support images [E, S, 1, 28, 28] and labels [E, S], query images and labels."""


def sampled(problem: Problem, tasks: int, dtype: torch.dtype, device: torch.device) -> Batch:
    """A meta-batch sampled beforehand, the same for every implementation: blurred noise, one image a class and set."""
    generator = torch.Generator().manual_seed(1)
    pixels = torch.rand(tasks, 2 * problem.ways, 28, 28, generator=generator, dtype=torch.float64)
    images = nn.functional.avg_pool2d(pixels, 3, 1, 1).unsqueeze(2).to(device, dtype)
    labels = torch.arange(problem.ways, device=device).repeat(tasks, 1)
    return images[:, : problem.ways], labels, images[:, problem.ways :], labels


def stock_network(ways: int) -> nn.Sequential:
    """Conv4-64 with weights that depend on nothing but a seed."""
    layers: list[nn.Module] = []
    channels = 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(4):
            layers.append(nn.Conv2d(channels, 64, 3, padding=1, bias=False))
            layers += [nn.BatchNorm2d(64, track_running_stats=False), nn.ReLU(), nn.MaxPool2d(2)]
            channels = 64
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, ways))


def loop(network: nn.Module, problem: Problem, batch: Batch) -> float:
    """Plain autograd, one task after another. Returns the mean query loss."""
    total = torch.zeros((), device=batch[0].device)
    for support_x, support_y, query_x, query_y in zip(*batch, strict=True):
        fast: dict[str, Tensor] = dict(network.named_parameters())
        for _ in range(problem.steps):
            loss = cross_entropy(functional_call(network, fast, support_x), support_y)
            gradients = torch.autograd.grad(loss, list(fast.values()), create_graph=not problem.first_order)
            fast = {name: value - INNER_LR * g for (name, value), g in zip(fast.items(), gradients, strict=True)}
        query_loss = cross_entropy(functional_call(network, fast, query_x), query_y) / len(batch[0])
        query_loss.backward()
        total += query_loss.detach()
    return total.item()


def with_higher(network: nn.Module, problem: Problem, batch: Batch) -> None:
    import higher

    inner = torch.optim.SGD(network.parameters(), lr=INNER_LR)
    second_order = not problem.first_order
    for support_x, support_y, query_x, query_y in zip(*batch, strict=True):
        with higher.innerloop_ctx(network, inner, copy_initial_weights=False, track_higher_grads=second_order) as (fast, steps):
            for _ in range(problem.steps):
                steps.step(cross_entropy(fast(support_x), support_y))
            loss = cross_entropy(fast(query_x), query_y) / len(batch[0])
            if second_order:
                loss.backward()
                continue
            for parameter, g in zip(network.parameters(), torch.autograd.grad(loss, fast.parameters()), strict=True):
                parameter.grad = g if parameter.grad is None else parameter.grad + g


def with_torchopt(network: nn.Module, problem: Problem, batch: Batch) -> None:
    import torchopt

    inner = torchopt.MetaSGD(network, lr=INNER_LR)
    start = torchopt.extract_state_dict(network, by="reference", detach_buffers=True)
    inner_start = torchopt.extract_state_dict(inner, by="reference")
    for support_x, support_y, query_x, query_y in zip(*batch, strict=True):
        for _ in range(problem.steps):
            inner.step(cross_entropy(network(support_x), support_y))
        (cross_entropy(network(query_x), query_y) / len(batch[0])).backward()
        torchopt.recover_state_dict(network, start)
        torchopt.recover_state_dict(inner, inner_start)


@dataclass(frozen=True)
class Peer:
    """An implementation beside ours.

    Attributes:
        gradient: leaves the mean meta-gradient in the network's `.grad`.
        package: what it needs.
        first_order: whether it offers FOMAML.
    """

    gradient: Callable[[nn.Module, Problem, Batch], object]
    package: str
    first_order: bool = True

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.package) is not None


PEERS = {
    "autograd loop": Peer(loop, "torch"),
    "higher": Peer(with_higher, "higher"),
    "TorchOpt": Peer(with_torchopt, "torchopt", first_order=False),
}

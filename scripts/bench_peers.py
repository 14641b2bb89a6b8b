"""MAML as others write it: a loop over tasks in plain autograd, in higher 0.2.1 and in TorchOpt 0.7.3, each as its examples do.

All leave the mean meta-gradient of a meta-batch in `network.parameters()`'s `.grad`. The network is made of stock layers.
"""

from __future__ import annotations

import importlib.util
import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset

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


# ------------------------------------------------------------------------------------- end to end: an ordinary DataLoader


class _ClassImages(Dataset[Tensor]):
    """The images of one class, as a data set of its own."""

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> Tensor:
        return self.pixels[index].unsqueeze(0).float() / 255


class _Episodes(Dataset[Batch]):
    """Episodes drawn from per-class data sets, each class turned by a random multiple of 90 degrees."""

    def __init__(self, pixels: Tensor, ways: int, length: int) -> None:
        self.classes = [_ClassImages(images) for images in pixels]
        self.ways, self.length = ways, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Batch:
        generator = torch.Generator().manual_seed(index)
        support, query = [], []
        for c in torch.randperm(len(self.classes), generator=generator)[: self.ways].tolist():
            dataset = self.classes[c]
            turn = int(torch.randint(4, (), generator=generator))
            first, second = torch.randperm(len(dataset), generator=generator)[:2].tolist()
            support.append(torch.rot90(dataset[first], turn, (1, 2)))
            query.append(torch.rot90(dataset[second], turn, (1, 2)))
        labels = torch.arange(self.ways)
        return torch.stack(support), labels, torch.stack(query), labels


def episode_loader(pixels: Tensor, problem: Problem, workers: int) -> Iterator[Batch]:
    """Meta-batches without end from [classes, images, 28, 28] uint8 pixels."""
    episodes = _Episodes(pixels, problem.ways, 10**7)
    return iter(DataLoader(episodes, batch_size=problem.tasks, num_workers=workers))


# ----------------------------------------------------------------- online: one seed at a time, as the released code goes


class OnlineLoop:
    """One seed of an online method in plain autograd, organised as the released La-MAML and MER code is.

    That is: a memory of Python tuples, the list of its places shuffled for every sample drawn, and ER's loss taken sample by
    sample, since their outputs might belong to different tasks.

    Args:
        x, y: the stream, [N, inputs] and [N].
        settings: of the algorithm, by name.
        seed: of the network and of all draws.
    """

    def __init__(self, x: Tensor, y: Tensor, settings: dict[str, Any], seed: int) -> None:
        self.x, self.y, self.set = x, y, settings
        generator = torch.Generator().manual_seed(seed)
        sizes = [x.shape[1], 100, 100, 10]
        self.weights: list[Tensor] = []
        for below, above in itertools.pairwise(sizes):
            drawn = torch.randn(above, below, generator=generator) * (2 / below) ** 0.5
            self.weights += [drawn.requires_grad_(), torch.zeros(above, requires_grad=True)]
        self.rates = [torch.full_like(w, settings.get("inner_lr", 0.0)).requires_grad_() for w in self.weights]
        self.memory: list[tuple[Tensor, Tensor]] = []
        self.seen, self.at, self.random = 0, 0, random.Random(seed)

    def forward(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        for i in range(0, len(weights) - 2, 2):
            x = torch.relu(nn.functional.linear(x, weights[i], weights[i + 1]))
        return nn.functional.linear(x, weights[-2], weights[-1])

    def next_batch(self) -> tuple[Tensor, Tensor]:
        size = self.set["batch_size"]
        index = torch.arange(self.at, self.at + size) % len(self.y)
        self.at += size
        return self.x[index], self.y[index]

    def recalled(self) -> list[tuple[Tensor, Tensor]]:
        order, drawn = list(range(len(self.memory))), []
        for i in range(min(self.set["replay"], len(order))):
            self.random.shuffle(order)
            drawn.append(self.memory[order[i]])
        return drawn

    def joined(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        drawn = self.recalled()
        return torch.stack([*x, *(a for a, _ in drawn)]), torch.stack([*y, *(b for _, b in drawn)])

    def remember(self, x: Tensor, y: Tensor) -> None:
        for sample in zip(x, y, strict=True):
            self.seen += 1
            if len(self.memory) < self.set["memory"]:
                self.memory.append(sample)
            elif (place := self.random.randint(0, self.seen - 1)) < self.set["memory"]:
                self.memory[place] = sample

    def er(self) -> None:
        x, y = self.next_batch()
        optimizer = torch.optim.SGD(self.weights, lr=self.set["lr"])
        for _ in range(self.set["updates"]):
            both_x, both_y = self.joined(x, y)
            optimizer.zero_grad()
            outputs = self.forward(both_x, self.weights)
            losses = [cross_entropy(outputs[i : i + 1], both_y[i : i + 1]) for i in range(len(both_y))]
            (sum(losses) / len(losses)).backward()  # type: ignore[union-attr]
            optimizer.step()
        self.remember(x, y)

    def mer(self) -> None:
        x, y = self.next_batch()
        optimizer = torch.optim.SGD(self.weights, lr=self.set["lr"])
        for _ in range(self.set["batches"]):
            before = [w.detach().clone() for w in self.weights]
            for a, b in [(x[0], y[0]), *self.recalled()]:
                optimizer.zero_grad()
                cross_entropy(self.forward(a[None], self.weights), b[None]).backward()
                optimizer.step()
            with torch.no_grad():
                for w, w0 in zip(self.weights, before, strict=True):
                    w.copy_(w0 + self.set["beta"] * (w - w0))
        self.remember(x, y)

    def la_maml(self) -> None:
        x, y = self.next_batch()
        for _ in range(self.set["glances"]):
            order = torch.randperm(len(y))
            x, y = x[order], y[order]
            both_x, both_y = self.joined(x, y)
            fast, losses = list(self.weights), []
            for i in range(len(y)):
                loss = cross_entropy(self.forward(x[i : i + 1], fast), y[i : i + 1])
                gradients = torch.autograd.grad(loss, fast)
                fast = [w - a.relu() * g for w, a, g in zip(fast, self.rates, gradients, strict=True)]
                losses.append(cross_entropy(self.forward(both_x, fast), both_y))
            for leaf in (*self.weights, *self.rates):
                leaf.grad = None
            (sum(losses) / len(losses)).backward()  # type: ignore[union-attr]
            torch.nn.utils.clip_grad_norm_(self.weights, self.set["clip_norm"])
            torch.nn.utils.clip_grad_norm_(self.rates, self.set["clip_norm"])
            with torch.no_grad():
                for w, a in zip(self.weights, self.rates, strict=True):
                    assert w.grad is not None
                    assert a.grad is not None
                    a -= self.set["rate_lr"] * a.grad
                    w -= a.relu() * w.grad
        self.remember(x, y)

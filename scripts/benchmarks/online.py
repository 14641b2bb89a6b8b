"""Observations of protocol `online`: ours for five seeds beside an autograd loop for one."""

from __future__ import annotations

import argparse
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.measuring import Job, Line, measure, timed

ROWS = {"la_maml": ["algo=la_maml"], "er": ["algo=er", "algo.updates=5"], "mer": ["algo=mer", "algo.batches=5"]}
"""By the algorithm's name; its settings are those of rotated MNIST."""
SEEDS = [0, 1, 2, 3, 4]


def measure_row(name: str, args: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    updates = 10 * args.updates if name == "mer" else args.updates
    common = {
        "module": "online",
        "device": "cpu",
        "threads": args.threads,
        "argument": name,
        "updates": updates,
        "root": args.root,
    }
    ours, peer = f"metacl_run, {len(SEEDS)} seeds", "autograd loop, 1 seed"
    tasks = {ours: {**common, "kind": "online"}, peer: {**common, "kind": "online loop"}}
    lines = {line: Line(line, is_peer=line == peer) for line in tasks}
    measure(tasks, lines, args.repeats, say)
    stream = "rotated digits" if args.root is None else "rotated MNIST"
    text = f"{name}: {' '.join(ROWS[name])}, MLP 784-100-100-10, {stream}, memory 200; ms an observation, sampling and\n"
    text += "memory included, evaluation not; a ratio above 1: five seeds take less than the loop takes for one"
    return {"row": name, "title": text, "lines": list(lines.values())}


def make_job(task: dict[str, Any], device: torch.device) -> Job:
    return our_online_job(task) if task["kind"] == "online" else peer_online_job(task)


def our_online_job(task: dict[str, Any]) -> Job:
    """The next observations of the stream; the replay buffer is full before the first is timed."""
    from metacl_run.protocols.online.trainer import StreamTrainer

    setup, at = online_setup(ROWS[task["argument"]], SEEDS, task["root"], task["threads"]), 0
    trainer, total = StreamTrainer(setup), setup.units.total
    learner = torch.utils._pytree.tree_map(lambda *leaves: torch.stack(leaves), *setup.initial_learners())

    def observe(count: int) -> None:
        nonlocal at, learner
        for _ in range(count):
            learner, _ = trainer.step(learner, at % total)
            at += 1

    observe(-(-setup.algo.memory // setup.algo.batch_size))
    return Job(lambda: timed(lambda: observe(task["updates"]), setup.device) / task["updates"])


def peer_online_job(task: dict[str, Any]) -> Job:
    import numpy as np

    setup = online_setup(ROWS[task["argument"]], [0], task["root"], task["threads"])
    samples = setup.pool.gather(0, np.arange(setup.pool.samples_per_task * 2))
    peer = OnlineLoop(samples.x.flatten(1), samples.y, asdict(setup.algo), seed=0)
    step = getattr(peer, task["argument"])
    while len(peer.memory) < setup.algo.memory:
        peer.remember(*peer.next_batch())

    def observe() -> None:
        for _ in range(task["updates"]):
            step()

    return Job(lambda: timed(observe, torch.device("cpu")) / task["updates"])


def online_setup(overrides: list[str], seeds: list[int], root: str | None, threads: int) -> Any:
    """The program's own learner and stream, loaded; nothing is written."""
    from metacl_run.config.compose import experiment_of
    from metacl_run.protocols.online.setup import StreamSetup
    from metacl_run.protocols.run_context import RunContext
    from metacl_run.runtime.process_memory import keep_freed_memory
    from metacl_run.runtime.ranks import ALONE
    from metacl_run.storage.run_writer import SilentWriter

    keep_freed_memory()
    data = ["data=rotated_digits"] if root is None else ["data=rotated_mnist", f"data.root={root}"]
    experiment = experiment_of([*overrides, *data, "gpu=cpu", f"gpu.threads={threads}", f"seeds={seeds}"])
    parts = {name: getattr(experiment, name) for name in ("algo", "model", "data", "gpu", "seeds", "insight")}
    calls = {"stop_requested": lambda: False, "started": lambda *_: None}
    pool = experiment.protocol.load(experiment.data, experiment.seeds)
    return StreamSetup.of(RunContext(**parts, pool=pool, store=SilentWriter(), ranks=ALONE, **calls))


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

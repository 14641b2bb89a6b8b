"""A small stream in float64, and each online baseline as a loop of plain autograd that holds its own memory."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from metacl_run.algorithms.online.stream_learner import StreamLearner
from metacl_run.core.task_lengths import TaskLengths
from metacl_run.core.types import Observation, Samples
from metacl_run.models.network import Network
from metacl_run.protocols.online.replay_schedule import ReplaySchedule
from metacl_run.scoring.objectives import CLASSIFICATION, REGRESSION

TASKS, PER_TASK, BATCH, INPUTS, OUTPUTS = 3, 12, 3, 5, 6


class TwoLayers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(INPUTS, 7), nn.Linear(7, OUTPUTS)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).relu())


class Toy(NamedTuple):
    """A stream of TASKS * PER_TASK samples, initial parameters and the outputs of each task, if they are known. Targets are
    classes, or real."""

    stream: Samples
    params: dict[str, Tensor]
    masks: Tensor | None
    seed: int

    @property
    def network(self) -> Network:
        objective = REGRESSION if self.stream.y.is_floating_point() else CLASSIFICATION
        return Network(TwoLayers().double(), OUTPUTS, masks=self.masks, objective=objective)

    def observations(self, algorithm: StreamLearner) -> list[Observation]:
        sizes: dict[str, Any] = {"samples": TaskLengths.equal(TASKS, PER_TASK), "batch_size": BATCH}
        spec = algorithm.replay_spec(TASKS)
        labels = self.stream.y.numpy() if spec.by_class else None
        draws = ReplaySchedule(spec, self.seed, **sizes, labels=labels).draw(0, TASKS * PER_TASK // BATCH)
        order, number, weight, slot, write = (torch.from_numpy(part) for part in draws)
        batches = [self.at(torch.arange(unit * BATCH, (unit + 1) * BATCH)) for unit in range(len(write))]
        rows = zip(batches, order, number, weight.double(), slot, write, strict=True)
        return [Observation(batch, o, self.at(n), w, s, p) for batch, o, n, w, s, p in rows]

    def at(self, number: Tensor) -> Samples:
        return Samples(*(part[number] for part in self.stream))

    def of_task(self, task: int, count: int) -> Samples:
        return self.at(task * PER_TASK + torch.arange(0, count) * 5 % PER_TASK)


def toy(seed: int = 0, *, masked: bool = False, growing: bool = False, real: bool = False) -> Toy:
    """Inputs of a class lie elsewhere in every task, so that tasks disagree. With outputs `masked` by task, or `growing`, two
    classes come with every task. `real` targets are a linear function of the inputs, another one in every task."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=generator)

    task = torch.arange(TASKS).repeat_interleave(PER_TASK)
    y = torch.randint(OUTPUTS, (TASKS * PER_TASK,), generator=generator)
    y = 2 * task + y % 2 if masked or growing else y
    x = normal(TASKS, OUTPUTS, INPUTS)[task, y] + 0.3 * normal(len(y), INPUTS)
    params = {name: 0.5 * normal(*value.shape) for name, value in TwoLayers().named_parameters()}
    masks = torch.eye(TASKS, dtype=torch.bool).repeat_interleave(2, 1) if masked else None
    if real:
        y = torch.einsum("ni,nio->no", x, normal(TASKS, INPUTS, OUTPUTS)[task])
    return Toy(Samples(x, y, task), params, masks, seed)


class Slow:
    """A learner in plain autograd: the network written out, gradients by `backward`, steps by `torch.optim`."""

    def __init__(self, algorithm: Any, data: Toy) -> None:
        self.algorithm, self.data = algorithm, data
        self.params = {name: value.clone().requires_grad_() for name, value in data.params.items()}
        if algorithm.optimizer == "sgd":
            settings = {"momentum": algorithm.momentum, "weight_decay": algorithm.weight_decay}
            sgd = torch.optim.SGD(self.params.values(), lr=algorithm.lr, **settings)
            self.optimizer: torch.optim.Optimizer = sgd
        else:
            self.optimizer = torch.optim.Adam(self.params.values(), lr=algorithm.lr, weight_decay=algorithm.weight_decay)
        self.corrected = self.clipped = 0

    def raw(self, params: dict[str, Tensor], x: Tensor) -> Tensor:
        hidden = (x @ params["body.weight"].T + params["body.bias"]).clamp(min=0)
        return hidden @ params["head.weight"].T + params["head.bias"]

    def logits(self, samples: Samples) -> Tensor:
        raw = self.raw(self.params, samples.x)
        return raw if self.data.masks is None else torch.where(self.data.masks[samples.task], raw, -1e9)

    def loss(self, samples: Samples) -> Tensor:
        return self.distance(self.logits(samples), samples.y)

    def distance(self, outputs: Tensor, y: Tensor) -> Tensor:
        return nn.functional.mse_loss(outputs, y) if y.is_floating_point() else cross_entropy(outputs, y)

    def gradient(self, samples: Samples) -> dict[str, Tensor]:
        return dict(zip(self.params, torch.autograd.grad(self.loss(samples), list(self.params.values())), strict=True))

    def step(self, loss: Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()
        self.clipped_step()

    def clipped_step(self) -> None:
        if self.algorithm.clip_norm is not None:
            norm = nn.utils.clip_grad_norm_(self.params.values(), self.algorithm.clip_norm)
            self.clipped += int(norm > self.algorithm.clip_norm)
        self.optimizer.step()

    def now(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.params.items()}

    def flat(self, gradient: dict[str, Tensor]) -> Tensor:
        return torch.cat([gradient[name].reshape(-1) for name in self.params])

    def step_along(self, flat: Tensor) -> None:
        for value, part in zip(self.params.values(), flat.split([p.numel() for p in self.params.values()]), strict=True):
            value.grad = part.view_as(value)
        self.clipped_step()

    def observe(self, observed: Observation) -> None:
        raise NotImplementedError

    def end_task(self, task: int, samples: Samples) -> None:
        """Default: nothing."""


class SlowLwf(Slow):
    def __init__(self, algorithm: Any, data: Toy) -> None:
        super().__init__(algorithm, data)
        self.old: dict[str, Tensor] | None = None
        self.held: list[int] = []

    def observe(self, observed: Observation) -> None:
        loss, size = self.loss(observed.batch), len(observed.batch.y)
        for x, task in zip(observed.batch.x, observed.batch.task.tolist(), strict=True):
            if self.old is None:
                continue
            heads = [self.held] if self.data.masks is None else [[2 * t, 2 * t + 1] for t in range(task)]
            for head in heads:
                there, here = ((self.raw(p, x)[head]).exp() for p in (self.old, self.params))
                power = 1 / self.algorithm.temperature
                target, output = there**power / (there**power).sum(), here**power / (here**power).sum()
                loss = loss - self.algorithm.strength * (target * output.log()).sum() / size
        self.step(loss)

    def end_task(self, task: int, samples: Samples) -> None:
        self.old = self.now()
        self.held = self.data.stream.y[: (task + 1) * PER_TASK].unique().tolist()


class SlowAGem(Slow):
    def observe(self, observed: Observation) -> None:
        for draw in range(self.algorithm.updates):
            flat, in_use = self.flat(self.gradient(observed.batch)), observed.weight[draw] == 1
            if in_use.any():
                assert (observed.replay.task[draw][in_use] < observed.batch.task[0]).all()
                reference = self.flat(self.gradient(Samples(*(part[draw][in_use] for part in observed.replay))))
                product = flat @ reference
                if product < 0:
                    self.corrected += 1
                    flat = flat - product / (reference @ reference) * reference
                    assert abs(flat @ reference) < 1e-12
            self.step_along(flat)


class SlowGem(Slow):
    def observe(self, observed: Observation) -> None:
        for _ in range(self.algorithm.updates):
            self.projected_step(observed.batch)

    def projected_step(self, batch: Samples) -> None:
        flat, kept = self.flat(self.gradient(batch)), self.algorithm.memories_per_task
        ends = [(task + 1) * PER_TASK for task in range(int(batch.task[0]))]
        rows = [self.flat(self.gradient(self.data.at(torch.arange(end - kept, end)))) for end in ends]
        if rows and any(row @ flat < 0 for row in rows):
            self.corrected += 1
            # |v G + g|^2 + damping |v|^2 is a sum of squares of as many more terms as there are tasks.
            past, size = torch.stack(rows), len(rows)
            wider = torch.cat([past, self.algorithm.damping**0.5 * torch.eye(size, dtype=past.dtype)], 1)
            v = brute_force(wider, torch.cat([flat, flat.new_zeros(size)]), self.algorithm.margin)
            flat = flat + v @ past
        self.step_along(flat)


class SlowReplay(Slow):
    """`Replay`, whose steps are on the batch and a draw, or on a draw alone."""

    def observe(self, observed: Observation) -> None:
        for draw in range(self.algorithm.updates):
            held = observed.weight[draw] == 1
            samples = Samples(*(part[draw][held] for part in observed.replay))
            if self.algorithm.source == "stream":
                samples = observed.batch.joined(samples)
            self.step(self.loss(samples))


class SlowErAce(Slow):
    def observe(self, observed: Observation) -> None:
        batch = observed.batch
        for draw in range(self.algorithm.updates):
            in_batch = sorted(set(batch.y.tolist()))
            places = torch.tensor([in_batch.index(label) for label in batch.y.tolist()])
            loss = cross_entropy(self.logits(batch)[:, in_batch], places)
            in_use = observed.weight[draw] == 1
            if in_use.any():
                loss = loss + self.loss(Samples(*(part[draw][in_use] for part in observed.replay)))
            self.step(loss)


class SlowMir(Slow):
    def observe(self, observed: Observation) -> None:
        for draw in range(self.algorithm.updates):
            now, gradient = self.now(), self.gradient(observed.batch)
            candidates = [self.at(observed.replay, draw, i) for i in range(int(observed.weight[draw].sum()))]
            before = [self.loss(one).item() for one in candidates]
            for name, value in self.params.items():
                value.data -= self.optimizer.param_groups[0]["lr"] * gradient[name]
            harm = [self.loss(one).item() - old for one, old in zip(candidates, before, strict=True)]
            for name, value in self.params.items():
                value.data = now[name]
            order = sorted(range(len(harm)), key=lambda i: -harm[i])[: self.algorithm.replay]
            self.corrected += sorted(order) != list(range(len(order)))  # not simply the first ones
            samples = observed.batch
            for i in order:
                samples = samples.joined(candidates[i])
            self.step(self.loss(samples))

    def at(self, replay: Samples, draw: int, place: int) -> Samples:
        return Samples(*(part[draw, place : place + 1] for part in replay))


class SlowDerPp(Slow):
    def __init__(self, algorithm: Any, data: Toy) -> None:
        super().__init__(algorithm, data)
        self.memory: dict[int, tuple[Samples, Tensor]] = {}

    def observe(self, observed: Observation) -> None:
        outputs = self.logits(observed.batch)
        loss = self.distance(outputs, observed.batch.y)
        for draw in range(2):
            held = [self.memory[place] for place in observed.slot[draw][observed.weight[draw] == 1].tolist()]
            if not held:
                continue
            samples = Samples(*(torch.stack(parts) for parts in zip(*(sample for sample, _ in held), strict=True)))
            if draw == 0:
                for x, task, (_, stored) in zip(samples.x, samples.task.tolist(), held, strict=True):
                    own = slice(None) if self.data.masks is None else slice(2 * task, 2 * task + 2)
                    distance = nn.functional.mse_loss(self.raw(self.params, x)[own], stored[own])
                    loss = loss + self.algorithm.alpha * distance / len(held)
            else:
                loss = loss + self.algorithm.beta * self.loss(samples)
        self.step(loss)
        for i, place in enumerate(observed.write.tolist()):
            if place < self.algorithm.memory:
                self.corrected += place in self.memory
                self.memory[place] = (Samples(*(part[i] for part in observed.batch)), outputs[i].detach())


def brute_force(rows: Tensor, g: Tensor, margin: float = 0.0) -> Tensor:
    """The best v >= margin over every choice of which v are at the margin; least squares on the others."""
    best, least = None, torch.inf
    for free in itertools.product([False, True], repeat=len(rows)):
        mask = torch.tensor(free)
        v = torch.full((len(rows),), margin, dtype=rows.dtype)
        if mask.any():
            v[mask] = torch.linalg.lstsq(rows[mask].T, -(g + v[~mask] @ rows[~mask]), driver="gelsd").solution
        objective = (v @ rows + g).square().sum()
        if (v >= margin).all() and objective < least:
            best, least = v, objective
    assert best is not None
    return best

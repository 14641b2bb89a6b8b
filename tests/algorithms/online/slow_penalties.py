"""Online baselines with a penalty on parameters, as loops of plain autograd."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metacl_run.core.types import Observation, Samples
from tests.algorithms.online.slow_loops import OUTPUTS, Slow, Toy


def penalty(slow: Slow, importance: dict[str, Tensor], reference: dict[str, Tensor]) -> Tensor:
    terms = [(importance[name] * (value - reference[name]) ** 2).sum() for name, value in slow.params.items()]
    return slow.algorithm.strength * torch.stack(terms).sum()


class SlowEwc(Slow):
    def __init__(self, algorithm: Any, data: Toy) -> None:
        super().__init__(algorithm, data)
        self.past: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []

    def observe(self, observed: Observation) -> None:
        loss = self.loss(observed.batch)
        for fisher, there in self.past:
            for name, value in self.params.items():
                loss = loss + self.algorithm.strength * (fisher[name] * (value - there[name]) ** 2).sum()
        self.step(loss)

    def end_task(self, task: int, samples: Samples) -> None:
        if self.algorithm.fisher == "expected":
            self.remember(self.expected(samples))
            return
        single = [self.gradient(Samples(*(part[i : i + 1] for part in samples))) for i in range(len(samples.y))]
        stacked = {name: torch.stack([gradient[name] for gradient in single]) for name in self.params}
        if self.algorithm.fisher == "square_of_mean":
            fisher = {name: each.mean(0) ** 2 for name, each in stacked.items()}
        else:
            fisher = {name: (each**2).mean(0) for name, each in stacked.items()}
        self.remember(fisher)

    def remember(self, fisher: dict[str, Tensor]) -> None:
        decay = self.algorithm.decay
        if decay is not None and self.past:
            ((earlier, _),) = self.past
            self.past, fisher = [], {name: decay * earlier[name] + new for name, new in fisher.items()}
        self.past.append((fisher, self.now()))

    def expected(self, samples: Samples) -> dict[str, Tensor]:
        """The squared gradient of minus the log likelihood, over all targets: a sum over classes, or a Gaussian's by its
        variance; the loss of real targets is that of a variance of OUTPUTS / 2."""
        total = {name: torch.zeros_like(value) for name, value in self.params.items()}
        logits = self.logits(samples)
        for row in logits:
            for output in range(OUTPUTS):
                if samples.y.is_floating_point():
                    chance, value = 2 / OUTPUTS, row[output]
                else:
                    chance, value = row.softmax(0)[output].item(), -row.log_softmax(0)[output]
                gradients = torch.autograd.grad(value, list(self.params.values()), retain_graph=True)
                for name, own in zip(self.params, gradients, strict=True):
                    total[name] += chance * own**2 / len(logits)
        return total


class SlowSi(Slow):
    def __init__(self, algorithm: Any, data: Toy) -> None:
        super().__init__(algorithm, data)
        self.reference = self.now()
        self.omega = {name: torch.zeros_like(value) for name, value in self.params.items()}
        self.path = {name: torch.zeros_like(value) for name, value in self.params.items()}

    def observe(self, observed: Observation) -> None:
        own, before = self.gradient(observed.batch), self.now()
        self.step(self.loss(observed.batch) + penalty(self, self.omega, self.reference))
        for name, value in self.now().items():
            self.path[name] -= own[name] * (value - before[name])

    def end_task(self, task: int, samples: Samples) -> None:
        for name, value in self.now().items():
            gained = self.path[name] / ((value - self.reference[name]) ** 2 + self.algorithm.damping)
            self.omega[name] = (self.omega[name] + gained).clamp(min=0)
            self.path[name] = torch.zeros_like(value)
        self.reference = self.now()


class SlowEwcPlusPlus(Slow):
    """Also RWalk: its scores are computed for both, and count where the algorithm has them."""

    def __init__(self, algorithm: Any, data: Toy) -> None:
        super().__init__(algorithm, data)
        zeros = {name: torch.zeros_like(value) for name, value in self.params.items()}
        self.reference, self.importance, self.fisher = self.now(), zeros, dict(zeros)
        self.own: list[dict[str, Tensor]] = []
        self.steps: list[dict[str, Tensor]] = []
        self.new, self.scores = dict(zeros), dict(zeros)
        self.tasks = 0

    def observe(self, observed: Observation) -> None:
        own, before = self.gradient(observed.batch), self.now()
        self.step(self.loss(observed.batch) + penalty(self, self.importance, self.reference))
        self.own.append(own)
        self.steps.append({name: value - before[name] for name, value in self.now().items()})
        if len(self.own) < self.algorithm.interval:
            return
        share, damping = self.algorithm.fisher_rate, getattr(self.algorithm, "damping", 1.0)
        for name in self.params:
            gained = -sum(g[name] * d[name] for g, d in zip(self.own, self.steps, strict=True))
            went = sum(d[name] for d in self.steps)
            self.new[name] = self.new[name] + (gained / (0.5 * self.fisher[name] * went**2 + damping)).relu()
            mean = sum(g[name] ** 2 for g in self.own) / len(self.own)
            self.fisher[name] = share * mean + (1 - share) * self.fisher[name]
        self.own, self.steps = [], []

    def end_task(self, task: int, samples: Samples) -> None:
        earlier = getattr(self.algorithm, "earlier_scores", None)
        self.importance = self.unit(self.fisher)
        if earlier is not None:
            for name, new in self.new.items():
                self.scores[name] = earlier * self.scores[name] + new / 2 if self.tasks else new
            scores = self.unit(self.scores)
            self.importance = {name: value + scores[name] for name, value in self.importance.items()}
        self.reference, self.tasks = self.now(), self.tasks + 1
        self.own, self.steps = [], []
        self.new = {name: torch.zeros_like(value) for name, value in self.new.items()}

    def unit(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        flat = self.flat(values)
        return {name: (value - flat.min()) / (flat.max() - flat.min()) for name, value in values.items()}


class SlowMas(Slow):
    def __init__(self, algorithm: Any, data: Toy) -> None:
        super().__init__(algorithm, data)
        self.reference = self.now()
        self.omega = {name: torch.zeros_like(value) for name, value in self.params.items()}

    def observe(self, observed: Observation) -> None:
        self.step(self.loss(observed.batch) + penalty(self, self.omega, self.reference))

    def end_task(self, task: int, samples: Samples) -> None:
        own = slice(None) if self.data.masks is None else slice(2 * task, 2 * task + 2)
        if not self.algorithm.accumulate:
            self.omega = {name: torch.zeros_like(value) for name, value in self.params.items()}
        for batch in samples.x.split(self.algorithm.importance_batch):
            length = sum((self.raw(self.params, x)[own] ** 2).sum() for x in batch)
            gradients = torch.autograd.grad(length, list(self.params.values()))
            for name, gradient in zip(self.params, gradients, strict=True):
                self.omega[name] += gradient.abs() / len(samples.x)
        self.reference = self.now()

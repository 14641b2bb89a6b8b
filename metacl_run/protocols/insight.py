"""The records of a run with `insight=light` or `full` about the inside of its learner, the same under every protocol.

    rates       at every evaluation, of a method that learns them: per layer mean, median and 10% and 90% quantiles
    alignment   after each task: cosines between the gradients of all tasks at the current parameters
    drift       after each task, `full` only: linear CKA, layer by layer, of each learned task's features with the same
                right after that task was learned

Shapes: R replicates, T tasks, K compared tasks.
"""

from __future__ import annotations

import abc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
import torch
from torch import Tensor

from metacl_run.core.types import Params, Pytree
from metacl_run.protocols.progress import Progress
from metacl_run.protocols.recorder import Recorder
from metacl_run.scoring.diagnostics import gradient_alignment, linear_cka, rates_by_layer

MOST_TASKS = 30
"""The largest number of tasks compared, spread evenly over a longer stream, since a comparison needs one gradient a task."""
GRADIENT_SAMPLES = 128
"""Training samples for the gradient of a task, always the same."""
GRADIENT_EPISODES = 16
FEATURE_SAMPLES = 256
FEATURE_COLUMNS = 128
"""Units of a layer whose features are compared. Fewer than samples: the CKA of p unrelated units on N is p / (N + p)."""
DIGITS = 4
"""Decimals in the records."""

Features: TypeAlias = dict[int, list[dict[str, Tensor]]]
"""{task: [R]{layer: features}} right after the task was learned."""


class Subject(abc.ABC):
    """The inside of a protocol's learner; `learner` is its state, leaves [R, ...]."""

    gradients_on: ClassVar[str]
    """The data of the gradients, in words, for the reader of a figure."""
    features_on: str
    """The data of the features, in words."""

    @abc.abstractmethod
    def learned_rates(self, learner: Pytree) -> Params | None:
        """[R, ...] learned rates by parameter, or None."""

    @abc.abstractmethod
    def gradient(self, learner: Pytree, replicate: int, task: int) -> Tensor:
        """[P] the gradient of the objective on fixed training data of a task, at the current parameters."""

    @abc.abstractmethod
    def features(self, learner: Pytree, replicate: int, task: int) -> dict[str, Tensor]:
        """The outputs of each layer for fixed data of a task, as `diagnostics.features_by_layer` returns them."""


def some_tasks(num_tasks: int, most: int) -> list[int]:
    """The tasks that are recorded: all, or `most` of them, spread evenly from the first to the last."""
    return [int(task) for task in np.linspace(0, num_tasks - 1, min(num_tasks, most)).round()]


@dataclass(frozen=True)
class InsightRecorder(Recorder):
    """Records the inside of a learner after evaluations.

    Attributes:
        subject: the inside.
        progress: of the run.
    """

    subject: Subject
    progress: Progress

    def record(self, row: int | None) -> None:
        """Writes an "insight" record after the evaluation of a row of the matrix, or of a probe (None), where there is
        anything to write."""
        if self.progress.context.insight == "none":
            return
        state, begun, content = self.progress.state, time.monotonic(), {}
        rates = self.subject.learned_rates(state.learner)
        if rates is not None:
            content["rates"] = rates_by_layer(rates)
        if row:
            content |= self._after_task(row - 1)
        if content:
            state.insight_s += time.monotonic() - begun
            self.progress.record("insight", row=row, **content)

    def _after_task(self, task: int) -> dict[str, Any]:
        """Alignment and drift when a task has just ended; stores its features for later comparisons."""
        state, num_tasks = self.progress.state, self.progress.num_tasks
        content: dict[str, Any] = {}
        tasks = some_tasks(num_tasks, MOST_TASKS)
        if num_tasks > 1:
            cosines = [self._alignment(replicate, tasks) for replicate in self._replicates]
            content["alignment"] = {"tasks": tasks, "on": self.subject.gradients_on, "cosine": cosines}
        if self.progress.context.insight == "full":
            if state.features:
                drift = self._drift(state.features)
                content["drift"] = {"tasks": list(state.features), "on": self.subject.features_on, "cka": drift}
            if task in tasks and task < num_tasks - 1:  # nothing comes after the last
                state.features[task] = [self._features(replicate, task) for replicate in self._replicates]
        return content

    @property
    def _replicates(self) -> range:
        return range(len(self.progress.context.seeds))

    def _features(self, replicate: int, task: int) -> dict[str, Tensor]:
        return self.subject.features(self.progress.state.learner, replicate, task)

    def _alignment(self, replicate: int, tasks: Sequence[int]) -> list[list[float]]:
        """[K, K]."""
        learner = self.progress.state.learner
        cosines = gradient_alignment(torch.stack([self.subject.gradient(learner, replicate, task) for task in tasks]))
        rounded: list[list[float]] = cosines.double().cpu().numpy().round(DIGITS).tolist()
        return rounded

    def _drift(self, before: Features) -> dict[str, list[list[float]]]:
        """{layer: [R][tasks]} the CKA of each task's features with those before."""
        by_task = [[self._similarity(r, task, before) for r in self._replicates] for task in before]
        by_replicate = list(zip(*by_task, strict=True))
        return {layer: [[task[layer] for task in tasks] for tasks in by_replicate] for layer in by_task[0][0]}

    def _similarity(self, replicate: int, task: int, before: Features) -> dict[str, float]:
        now = self._features(replicate, task)
        return {layer: round(float(linear_cka(x, now[layer])), DIGITS) for layer, x in before[task][replicate].items()}

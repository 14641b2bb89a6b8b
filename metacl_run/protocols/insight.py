"""What a run with `insight=light` or `full` records beside its evaluations: one look at a learner, whatever the protocol.

    rates       at every evaluation, of a method that learns them: per layer mean, median and 10% and 90% quantiles
    alignment   after each task: cosines between the gradients of all tasks at the current parameters
    drift       after each task, `full` only: linear CKA of each learned task's features, layer by layer, with what they were
                right after that task was learned

Shapes: R replicates, T tasks, K compared tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor

from metacl_run.core.types import Params
from metacl_run.protocols.base import Insight
from metacl_run.scoring.diagnostics import gradient_alignment, linear_cka, rates_by_layer

MOST_TASKS = 30
"""Of a longer stream so many tasks are compared, spread evenly: a comparison holds a gradient of each."""
GRADIENT_SAMPLES = 128
"""Training samples of a task that its gradient is taken on, always the same."""
GRADIENT_EPISODES = 16
FEATURE_SAMPLES = 256
FEATURE_COLUMNS = 128
"""Units of a layer whose features are compared. Fewer than samples: the CKA of p unrelated units on N is p / (N + p)."""
DIGITS = 4
"""Decimals in the records."""

Features: TypeAlias = dict[int, list[dict[str, Tensor]]]
"""By task: of each replicate, what `insight.features_by_layer` gave right after it was learned."""


class Subject(Protocol):
    """What a training loop shows of its learner."""

    gradients_on: str
    """What gradients are taken on, for the reader of a figure."""
    features_on: str

    def learned_rates(self) -> Params | None:
        """[R, ...] learned rates by parameter, or None."""

    def gradient(self, replicate: int, task: int) -> Tensor:
        """[P] of the objective on fixed training data of a task, at the current parameters."""

    def features(self, replicate: int, task: int) -> dict[str, Tensor]:
        """What each layer hands on for fixed data of a task, as `insight.features_by_layer` gives it."""


def compared_tasks(num_tasks: int) -> list[int]:
    """Which tasks are compared with each other: all, or `MOST_TASKS` spread evenly from the first to the last."""
    return np.linspace(0, num_tasks - 1, min(num_tasks, MOST_TASKS)).round().astype(int).tolist()


def look(
    subject: Subject, level: Insight, *, ended: int | None, num_tasks: int, num_replicates: int, before: Features
) -> dict[str, Any] | None:
    """The content of an "insight" record, or None where there is nothing to say.

    Args:
        subject: the training loop.
        level: as in the config.
        ended: the task that has just ended; None: at a probe, or before any learning.
        num_tasks, num_replicates: T, R.
        before: the features kept so far; those of `ended` are added.
    """
    if level == "none":
        return None
    seen: dict[str, Any] = {}
    rates = subject.learned_rates()
    if rates is not None:
        seen["rates"] = rates_by_layer(rates)
    if ended is not None:
        tasks, replicates = compared_tasks(num_tasks), range(num_replicates)
        if num_tasks > 1:
            cosines = [_alignment(subject, replicate, tasks) for replicate in replicates]
            seen["alignment"] = {"tasks": tasks, "on": subject.gradients_on, "cosine": cosines}
        if level == "full":
            if before:
                drift = [[_drift(subject, replicate, task, before) for replicate in replicates] for task in before]
                seen["drift"] = {"tasks": list(before), "on": subject.features_on, "cka": _by_layer(drift)}
            if ended in tasks and ended < num_tasks - 1:  # nothing comes after the last
                before[ended] = [subject.features(replicate, ended) for replicate in replicates]
    return seen or None


def _alignment(subject: Subject, replicate: int, tasks: Sequence[int]) -> list[list[float]]:
    cosines = gradient_alignment(torch.stack([subject.gradient(replicate, task) for task in tasks]))
    return cosines.double().cpu().numpy().round(DIGITS).tolist()


def _drift(subject: Subject, replicate: int, task: int, before: Features) -> dict[str, float]:
    now = subject.features(replicate, task)
    return {layer: round(float(linear_cka(x, now[layer])), DIGITS) for layer, x in before[task][replicate].items()}


def _by_layer(values: Sequence[Sequence[dict[str, float]]]) -> dict[str, list[list[float]]]:
    """[tasks][R]{layer: value} -> {layer: [R][tasks]}."""
    by_replicate = list(zip(*values, strict=True))
    return {layer: [[task[layer] for task in tasks] for tasks in by_replicate] for layer in values[0][0]}

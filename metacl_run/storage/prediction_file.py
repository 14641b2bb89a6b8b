"""Reads predictions.json (`protocols/online/predictions.py`). Shapes: R replicates, C classes, T tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from metacl_run.storage.optional_file import read_optional


class Confusion(NamedTuple):
    """Two classes of which the first was predicted to be the second, at the end."""

    true: int
    predicted: int | None
    """None: an output that stands for no class of the task."""
    share: float
    """Of the true class's test samples, mean over replicates."""
    cosine: float | None
    """Between the means of the features of both classes; None where it was not computed."""


class Quote(NamedTuple):
    """A test sample of the first replicate that was right after its own task was learned, and is wrong at the end."""

    text: str
    true: int
    predicted: int | None


class TaskMemory(NamedTuple):
    """The test samples of a task, right after it was learned and at the end."""

    right: list[int]
    """[R] samples that were predicted right after the task was learned."""
    forgotten: list[int]
    """[R] those of them that are wrong at the end."""
    quotes: list[Quote]


class Predictions(NamedTuple):
    """Predictions of a completed run."""

    classes: list[str]
    """[C] names."""
    samples_per_task: int | None
    """The most test samples of a task that were recorded; None: all."""
    confused: list[Confusion]
    """The largest share first."""
    nearest: list[list[tuple[int, float]]]
    """[C] (class, cosine of the means of the features), the nearest first; empty where they were not computed."""
    tasks: list[TaskMemory]
    """[T]."""
    outputs: list[list[int]] | None
    """[R][outputs] the class of every output, -1 for none; None where it differs from task to task, and in older files."""


def read(path: Path) -> Predictions | None:
    """Returns what the file says; see `read_optional`."""
    return read_optional(path, _read)


def _read(path: Path) -> Predictions:
    content = json.loads(path.read_bytes())
    classes = [str(name) for name in content["classes"]]
    confused = [
        Confusion(pair["class"], pair["predicted"], float(pair["share"]), pair["cosine"]) for pair in content["confused"]
    ]
    tasks = [
        TaskMemory(
            task["right"],
            task["forgotten"],
            [Quote(str(quote["text"]), quote["class"], quote["predicted"]) for quote in task["quotes"]],
        )
        for task in content["tasks"]
    ]
    nearest = [[(int(other), float(cosine)) for other, cosine in row] for row in content["nearest"] or ()]
    used = [place for pair in confused for place in (pair.true, pair.predicted)]
    used += [place for task in tasks for quote in task.quotes for place in (quote.true, quote.predicted)]
    used += [other for row in nearest for other, _ in row]
    outputs = content.get("outputs")
    used += [place for row in outputs or () for place in row if place != -1]
    if not all(place is None or 0 <= place < len(classes) for place in used):
        raise ValueError("a class has no name")
    return Predictions(classes, content["samples_per_task"], confused, nearest, tasks, outputs)

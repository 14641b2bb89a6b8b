"""The tables of what a learner of classes predicts: the classes it confuses, and test samples it has forgotten."""

from __future__ import annotations

import numpy as np

from metacl_run.layout.grid import Cell, Grid
from metacl_run.layout.numbers import number
from metacl_run.reporting.phrases import mean_words, shortened
from metacl_run.storage.prediction_file import Predictions, TaskMemory
from metacl_run.storage.run_files import PREDICTIONS
from metacl_run.storage.stored_run import StoredRun

MOST_PAIRS = 15
MOST_NAMED = 3
"""Pairs in the sentence."""
MOST_TASKS = 12
QUOTES = 3
"""Quotes of a task."""
NEAREST = 2
WIDEST_NAME = 40
NO_CLASS = "no class of the task"


def confused_grid(run: StoredRun) -> Grid | None:
    """The pairs of classes that are confused most at the end, with the cosine of their features where it is known; None where
    nothing is confused, or no predictions were recorded."""
    read = run.predictions
    if read is None or not read.confused:
        return None
    with_features = bool(read.nearest)
    headings = [
        "true class",
        "share",
        "predicted at the end",
        *(["cosine", "nearest to the true class"] if with_features else []),
    ]
    rows = []
    for pair in read.confused[:MOST_PAIRS]:
        row = [Cell(_name(read, pair.true)), Cell(number(pair.share), tone="main"), _words(_name(read, pair.predicted))]
        if with_features:
            near = [f"{_name(read, other)} {number(cosine)}" for other, cosine in read.nearest[pair.true][:NEAREST]]
            row += [Cell(number(pair.cosine)), _words(", ".join(near))]
        rows.append(row)
    limit = "" if read.samples_per_task is None else f", up to {read.samples_per_task} of each task"
    notes = [
        f"Share: of the test {run.score.examples} of the true class{limit}, after the last task. {mean_words(run)}",
        f"The {len(rows)} largest shares; {PREDICTIONS} has {len(read.confused)} pairs."
        if len(read.confused) > len(rows)
        else "",
        "Cosine: between the means of the features of two classes, before any learning. Where near classes are confused, the "
        "features hardly tell them apart; where distant ones are, the learner has forgotten, or has not learned them."
        if with_features
        else "",
    ]
    return Grid("Most confused classes", headings, rows, [note for note in notes if note])


def forgotten_grid(run: StoredRun) -> Grid | None:
    """Test samples, as texts, that were right after their own task was learned and are wrong at the end; None where there are
    none to quote."""
    read = run.predictions
    if read is None or not any(task.quotes for task in read.tasks):
        return None
    numbers = [number for number, task in enumerate(read.tasks) if task.quotes]
    places = np.linspace(0, len(numbers) - 1, min(len(numbers), MOST_TASKS)).round().astype(int)
    rows = []
    for task in (numbers[place] for place in places):
        for place, quote in enumerate(read.tasks[task].quotes[:QUOTES]):
            first = place == 0
            name = Cell(_task_name(run, task), detail=_forgotten_words(read.tasks[task])) if first else Cell("")
            classes = _words(_name(read, quote.true)), _words(_name(read, quote.predicted))
            rows.append([name, _words(f"\N{LEFT DOUBLE QUOTATION MARK}{quote.text}\N{RIGHT DOUBLE QUOTATION MARK}"), *classes])
    seed = f" (seed {run.seeds[0]})" if len(run.seeds) > 1 else ""
    notes = [
        f"Predicted correctly right after its own task was learned, and wrongly after the last task{seed}. Up to {QUOTES} of a "
        f"task, each of another class{_left_out(len(numbers), len(places))}."
    ]
    return Grid("Forgotten examples", ["task", "text", "true class", "predicted at the end"], rows, notes)


def confused_words(run: StoredRun) -> str | None:
    """The classes that are confused most, in a sentence."""
    read = run.predictions
    if read is None or not read.confused:
        return None
    pairs = [
        f"{_name(read, pair.true)} as {_name(read, pair.predicted)} ({pair.share:.0%})" for pair in read.confused[:MOST_NAMED]
    ]
    return f"Most confused at the end: {', '.join(pairs)}."


def _left_out(tasks: int, quoted: int) -> str:
    return f"; {quoted} of {tasks} tasks, spread evenly" if quoted < tasks else ""


def _task_name(run: StoredRun, task: int) -> str:
    """The number and name of a task of the first seed, whose samples are quoted; other seeds may order tasks differently."""
    name = " ".join(run.summary["task_names"][0][task].split())
    return f"task {task + 1}" if name in ("", f"task {task + 1}") else shortened(f"{task + 1}: {name}", WIDEST_NAME)


def _forgotten_words(task: TaskMemory) -> str:
    """How many of the test samples that the first seed had right it has forgotten."""
    return f"{task.forgotten[0]} of {task.right[0]} forgotten"


def _name(read: Predictions, place: int | None) -> str:
    return NO_CLASS if place is None else shortened(" ".join(read.classes[place].split()), WIDEST_NAME)


def _words(text: str) -> Cell:
    return Cell(text, is_words=True)

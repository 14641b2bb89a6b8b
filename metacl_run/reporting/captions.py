"""Which figures a run supports and what is said about each: under the image, and in the report."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from metacl_run.metrics import episode_settings
from metacl_run.reporting.collect import Run


class Panel(NamedTuple):
    name: str
    """File name without suffix."""
    title: str
    caption: str
    """One line, drawn under the axes."""
    explanation: str
    """How to read the figure; for the report."""


def panels(run: Run) -> list[Panel]:
    """The figures that can be drawn from what the run left, in the order of the report."""
    if not run.num_tasks:  # it failed before its tasks were known
        return []
    found = []
    several = run.num_tasks > 1
    if len(run.eval_units):
        found.append(_accuracy_by_task(run) if several else _learning_curve(run))
    if len(run.eval_units) and several:
        found.append(_mean_accuracy(run))
    if several and run.rows_reached > 2:
        found.append(_forgetting(run))
    if several and run.rows_reached:
        found.append(_accuracy_matrix(run))
    if "loss" in run.train and np.isfinite(run.train["loss"]).any():
        found.append(_training_loss(run))
    return found


def subtitle(run: Run) -> str:
    """Which run this is, for someone who meets the image alone."""
    seeds = run.summary["seeds"]
    listed = f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds"
    settings = episode_settings(run.config)
    shape = [f"{settings[key]}-{word}" for key, word in (("ways", "way"), ("shots", "shot")) if settings.get(key)]
    problem = f", {' '.join(shape)}" if shape else ""
    status = run.summary["status"]
    ended = "" if status == "completed" else f"  ·  run {status}"
    return f"{run.summary['algo']}  ·  {run.summary['model']}  ·  {run.summary['data']}{problem}  ·  {listed}{ended}"


def spread_words(run: Run) -> str:
    """What lines and bands are."""
    if run.num_replicates == 1:
        return "One seed, so no interval."
    return f"Mean of {run.num_replicates} seeds with its 95% interval (Student t)."


def _accuracy_by_task(run: Run) -> Panel:
    return Panel(
        "accuracy_by_task",
        "Accuracy on every task while the tasks are learned in turn",
        f"Thin: before the task was learned. Circle: when its training ended. {spread_words(run)}",
        "The strip on top shows which task is being trained. A line that falls after its circle is a task being "
        "forgotten; one that rises before its task begins is helped by the tasks before it.",
    )


def _learning_curve(run: Run) -> Panel:
    return Panel(
        "accuracy_by_task",
        "Learning curve",
        f"Accuracy on held-out problems against training. {spread_words(run)}",
        "Where the held-out line stays below the training line, what is learned does not all carry over to unseen problems.",
    )


def _mean_accuracy(run: Run) -> Panel:
    return Panel(
        "mean_accuracy",
        "Mean accuracy over the tasks seen so far, and over all tasks",
        f"Seen so far includes the task being learned. {spread_words(run)}",
        "The two lines meet when the last task begins; that end point is the accuracy reported for the run. A dip of "
        "the upper line at a switch of tasks is the new, still unlearned task and interference with the old ones.",
    )


def _forgetting(run: Run) -> Panel:
    last = run.rows_reached - 1
    when = "the end" if last == run.num_tasks else f"the end of task {last}, the last one reached"
    return Panel(
        "forgetting",
        "Forgetting: how far each earlier task fell from its best",
        f"Bar: best accuracy before the last task, minus accuracy at {when}. Diamond: drop since learned. {spread_words(run)}",
        "To the right of zero, accuracy was lost; to the left, the last task still improved an earlier one. The "
        "figures at the edge are the best accuracy and the accuracy at the end. A diamond left of its bar's end: the "
        "task went on improving after its own training. The mean of the bars is the metric forgetting.",
    )


def _accuracy_matrix(run: Run) -> Panel:
    return Panel(
        "accuracy_matrix",
        "Accuracy on every task after each stage of learning",
        "Framed: right after the task itself was learned. "
        + (f"Mean of {run.num_replicates} seeds." if run.num_replicates > 1 else "One seed."),
        "Read down a column to see one task over time: above its frame what other tasks gave it beforehand, below its "
        "frame what they did to it afterwards.",
    )


def _training_loss(run: Run) -> Panel:
    return Panel(
        "training_loss",
        "Training loss",
        f"Running mean; pale: every record. {spread_words(run)}",
        "The loss of the outer objective on the task being trained, at each record. It may jump where a new task begins.",
    )

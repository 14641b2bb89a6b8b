"""Which figures a run supports and what is said about each: under the image, and in the report."""

from __future__ import annotations

import numpy as np

from metacl_run.reporting import matrices, task_curves
from metacl_run.reporting.curves import MOST_SWITCHES, after_switches, training_loss_panel
from metacl_run.reporting.panel import Panel, mean_words, spread_words
from metacl_run.reporting.sentences import shown
from metacl_run.reporting.sequence_captions import sequence_panels
from metacl_run.reporting.words import words
from metacl_run.reporting.work_axis import MOST_PATCHES
from metacl_run.scoring.metric_table import worst_name
from metacl_run.storage.read_run import Run


def panels(run: Run) -> list[Panel]:
    """The figures that can be drawn from what the run left, in the order of the report."""
    if not run.num_tasks:  # it failed before its tasks were known
        return []
    if run.sequences is not None:
        return sequence_panels(run, run.sequences) + ([_learned_rates(run)] if run.insight.rates else [])
    found = []
    several = run.num_tasks > 1
    if len(run.eval_units):
        found.append(task_curves.panel(run) if several else _learning_curve(run))
    if len(run.eval_units) and several:
        found.append(_mean_accuracy(run))
    if several and (run.probe_units > run.units_per_task).any() and after_switches(run):
        found.append(_stability_gap(run))
    if several and run.whole_rows[-1:] and run.whole_rows[-1] > 1:
        found.append(matrices.forgetting_panel(run))
    if several and run.whole_rows:
        found.append(matrices.matrix_panel(run))
    if "loss" in run.train and np.isfinite(run.train["loss"]).any():
        found.append(_training_loss(run))
    return found + _insight(run)


def _insight(run: Run) -> list[Panel]:
    found = []
    if run.insight.cosines and len(run.whole_rows) > 2:
        found.append(_interference(run))
    if run.insight.cosines:
        found.append(_gradient_alignment(run))
    if run.insight.drift:
        found.append(_feature_drift(run))
    if run.insight.rates:
        found.append(_learned_rates(run))
    return found


def pairs(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """For every compared task from the second on (row) and every one before it (column), means over replicates, NaN elsewhere:
    the cosine of their gradients when learning the first began, and by how much learning it made the score on the other better.
    """
    tasks = run.insight.tasks
    met, became = np.full((2, len(tasks) - 1, len(tasks) - 1), np.nan)
    for row, task in enumerate(tasks[1:]):
        change = (run.matrix[:, task + 1] - run.matrix[:, task]).mean(axis=0)
        became[row, : row + 1] = run.objective.sign * change[tasks[: row + 1]]
        if task in run.insight.cosines:  # recorded when `task` tasks had been learned
            met[row, : row + 1] = run.insight.cosines[task].mean(axis=0)[row + 1, : row + 1]
    return met, became


def _learning_curve(run: Run) -> Panel:
    said = words(run.objective)
    return Panel(
        "accuracy_by_task",
        "Learning curve",
        f"{said.score.capitalize()} on held-out problems against training. {spread_words(run)}",
        f"Where the held-out line stays {said.beyond} the training line, what is learned does not all carry over to unseen "
        "problems.",
    )


def _mean_accuracy(run: Run) -> Panel:
    said = words(run.objective)
    if not run.future_is_evaluated:
        return Panel(
            "mean_accuracy",
            f"{said.mean.capitalize()} over the tasks seen so far",
            f"Seen so far includes the task being learned. {spread_words(run)}",
            f"The end point is the {said.score} reported for the run. Tasks to come were not evaluated: "
            "protocol.eval_future=all shows them too.",
        )
    return Panel(
        "mean_accuracy",
        f"{said.mean.capitalize()} over the tasks seen so far, and over all tasks",
        f"Seen so far includes the task being learned. {spread_words(run)}",
        f"The two lines meet when the last task begins; that end point is the {said.score} reported for the run. A "
        f"{said.dip} of the {said.seen_line} line at a switch of tasks is the new, still unlearned task and interference with "
        "the old ones.",
    )


def _training_loss(run: Run) -> Panel:
    explanation = (
        "The loss of the outer objective on the task being trained, at each record. It may jump where a new task begins."
    )
    return training_loss_panel(run, "Training loss", explanation)


def _stability_gap(run: Run) -> Panel:
    said = words(run.objective)
    middle = "Grey: the middle 80% of them. " if len(after_switches(run)) > MOST_SWITCHES else ""
    where = f"All points are on the {run.probe_samples} {run.eval_split} samples of a task that probes look at."
    return Panel(
        "stability_gap",
        "What a new task does to the earlier ones while it is learned",
        f"{said.mean.capitalize()} on earlier tasks, less what it was before the switch. Black: mean over switches. "
        f"{middle}{spread_words(run)}",
        f"A {said.dip} right after the switch that recovers is the stability gap (De Lange et al. 2023): forgetting that "
        f"evaluations at the end of a task miss. {worst_name(run.objective)} and worst_case_{run.objective.score_name} are "
        f"taken from its {said.extreme} points." + (f" {where}" if run.probes_look_at_less else ""),
    )


def _compared(run: Run) -> str:
    count = len(run.insight.tasks)
    return f" {count} of {run.num_tasks} tasks, spread evenly." if count < run.num_tasks else ""


def _interference(run: Run) -> Panel:
    met, became = pairs(run)
    score, caption = run.objective.score_words, ""
    if np.isfinite(met).any():
        row, column = np.unravel_index(np.nanargmin(met), met.shape)
        learned, earlier = run.insight.tasks[row + 1] + 1, run.insight.tasks[column] + 1
        change = shown(run.objective.sign * became[row, column], run.objective, signed=True)
        after = f"; {score} on task {earlier} then changed by {change}"
        caption = f"Least aligned when met: task {learned} with task {earlier}, cosine {met[row, column]:+.2f}"
        caption += f"{after if np.isfinite(became[row, column]) else ''}."
    moved = "changed" if run.objective.higher_is_better else "fell"
    return Panel(
        "interference",
        "Which tasks interfere, and what became of it",
        f"{caption}{_compared(run)} {mean_words(run)}".strip(),
        f"Left: cosine of the gradients of {run.insight.cosines_on} right before the first step on the new one. Below 0 "
        f"(vermillion), that step raises the loss on the earlier task. Right: by how much {score} on the earlier task {moved} "
        "until the new one was learned. Vermillion left but not right: the method kept the conflict from doing harm. "
        "Vermillion right but not left: the conflict arose on the way.",
    )


def _gradient_alignment(run: Run) -> Panel:
    stages = "after the first and the last task" if len(run.insight.cosines) > 1 else "after the first task"
    return Panel(
        "gradient_alignment",
        f"How the tasks' gradients align, {stages}",
        f"Cosine of the gradients of {run.insight.cosines_on}.{_compared(run)} " + mean_words(run),
        "All tasks, learned or yet to come, at the same parameters. Blue: a step for one task helps the other; vermillion: it "
        "harms it. Sampling noise draws the numbers towards 0. Learning that rewards alignment, as MER and La-MAML do, should "
        "leave a bluer matrix than plain SGD does on the same stream.",
    )


def _feature_drift(run: Run) -> Panel:
    return Panel(
        "feature_drift",
        "How far the features of learned tasks drifted, layer by layer",
        f"Linear CKA on {run.insight.drift_on}, mean over earlier tasks. 1: as when learned; unrelated features score above 0. "
        f"{spread_words(run)}",
        "What a layer hands on to the next, now and right after the task was learned (Kornblith et al. 2019). The layers are "
        f"named from the first (dark) to the last (light). Where {words(run.objective).is_lost} although early layers hold, "
        "the loss is in the last ones. Unrelated features score above 0 too, the more the wider a layer: compare a layer with "
        "itself over time. Convolutions: mean over positions; at most 128 units a layer.",
    )


def _learned_rates(run: Run) -> Panel:
    return Panel(
        "learned_rates",
        "The learned rates of every layer",
        "Line: median over the layer's weights. Band: 10% to 90% of them. " + mean_words(run),
        "A layer whose rates fall is held still, one whose rates rise changes faster; a wide band means that some weights are "
        "protected and others free. In La-MAML a rate below 0 holds its weight still."
        + (" Shaded: every second task." if 1 < run.num_phases <= MOST_PATCHES else ""),
    )

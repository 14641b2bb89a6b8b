"""Which figures a run supports and what is said about each: under the image, and in the report."""

from __future__ import annotations

import numpy as np

from metacl_run.marks import episode_settings
from metacl_run.metric_table import worst_name
from metacl_run.reporting.collect import Run, marks
from metacl_run.reporting.panel import Panel, spread_words
from metacl_run.reporting.sentences import shown
from metacl_run.reporting.sequence_captions import sequence_panels
from metacl_run.reporting.words import words


def panels(run: Run) -> list[Panel]:
    """The figures that can be drawn from what the run left, in the order of the report."""
    if not run.num_tasks:  # it failed before its tasks were known
        return []
    if run.sequences is not None:
        return sequence_panels(run, run.sequences) + ([_learned_rates(run)] if run.insight.rates else [])
    found = []
    several = run.num_tasks > 1
    if len(run.eval_units):
        found.append(_accuracy_by_task(run) if several else _learning_curve(run))
    if len(run.eval_units) and several:
        found.append(_mean_accuracy(run))
    if several and (run.probe_units > run.units_per_task).any():
        found.append(_stability_gap(run))
    if several and run.rows_reached > 2:
        found.append(_forgetting(run))
    if several and run.rows_reached:
        found.append(_accuracy_matrix(run))
    if "loss" in run.train and np.isfinite(run.train["loss"]).any():
        found.append(_training_loss(run))
    return found + _insight(run)


def _insight(run: Run) -> list[Panel]:
    found = []
    if run.insight.cosines and run.rows_reached > 2:
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


def subtitle(run: Run) -> str:
    """Which run this is, for someone who meets the image alone."""
    seeds = run.summary["seeds"]
    listed = f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds"
    settings = episode_settings(run.summary["protocol_kind"], run.config)
    shape = [f"{settings[key]}-{word}" for key, word in (("ways", "way"), ("shots", "shot")) if settings.get(key)]
    problem = f", {' '.join(shape)}" if shape else ""
    status = run.summary["status"]
    ended = "" if status == "completed" else f"  ·  run {status}"
    ended += "".join(f"  ·  {mark}" for mark in marks(run.summary))
    return f"{run.summary['algo']}  ·  {run.summary['model']}  ·  {run.summary['data']}{problem}  ·  {listed}{ended}"


def _accuracy_by_task(run: Run) -> Panel:
    said = words(run.objective)
    return Panel(
        "accuracy_by_task",
        f"{said.score.capitalize()} on every task while the tasks are learned in turn",
        f"Thin: before the task was learned. Circle: when its training ended. {spread_words(run)}",
        f"The strip on top shows which task is being trained. A line that {said.worsens} after its circle is a task being "
        f"forgotten; one that {said.improves} before its task begins is helped by the tasks before it. {_probed(run)}",
    )


def _probed(run: Run) -> str:
    """How much the lines between two task ends can be trusted."""
    said, worst = words(run.objective), worst_name(run.objective)
    if not len(run.probe_units):
        return (
            f"{said.score.capitalize()} was measured when tasks ended only: a {said.dip} in between is not seen here nor by "
            f"{worst}. protocol.eval_every=N probes it every N units."
        )
    fewer = f" on the first {run.probe_samples} {run.eval_split} samples of a task"
    fewer += f", as for {worst}; the other metrics are on all of them"
    every = int(np.diff(np.unique([0, *run.probe_units])).min())
    return (
        f"Between task ends {said.score} was probed every {every} {run.unit_name}s{fewer if run.probes_look_at_less else ''}."
    )


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
    return Panel(
        "mean_accuracy",
        f"{said.mean.capitalize()} over the tasks seen so far, and over all tasks",
        f"Seen so far includes the task being learned. {spread_words(run)}",
        f"The two lines meet when the last task begins; that end point is the {said.score} reported for the run. A "
        f"{said.dip} of the {said.seen_line} line at a switch of tasks is the new, still unlearned task and interference with "
        "the old ones."
        + (f" Dots: on all {run.eval_split} samples; lines: on those that probes look at." if run.probes_look_at_less else ""),
    )


def _forgetting(run: Run) -> Panel:
    last = run.rows_reached - 1
    when = "the end" if last == run.num_tasks else f"the end of task {last}, the last one reached"
    score = run.objective.score_words
    if run.objective.higher_is_better:
        title = "Forgetting: how far each earlier task fell from its best"
        bar = f"best {score} before the last task, minus {score} at {when}. Diamond: drop since learned"
        right, best = f"{score} was lost", f"the best {score} and the {score} at the end"
    else:
        title = "Forgetting: how far the error on each earlier task rose from its best"
        bar = f"{score} at {when}, minus the lowest before the last task. Diamond: rise since learned"
        right, best = "the error has grown", f"the lowest {score} and the one at the end"
    return Panel(
        "forgetting",
        title,
        f"Bar: {bar}. {spread_words(run)}",
        f"To the right of zero, {right}; to the left, the last task still improved an earlier one. The "
        f"figures at the edge are {best}. A diamond left of its bar's end: the "
        "task went on improving after its own training. The mean of the bars is the metric forgetting.",
    )


def _accuracy_matrix(run: Run) -> Panel:
    return Panel(
        "accuracy_matrix",
        f"{run.objective.score_words.capitalize()} on every task after each stage of learning",
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


def _stability_gap(run: Run) -> Panel:
    said = words(run.objective)
    where = f"All points are on the {run.probe_samples} {run.eval_split} samples of a task that probes look at."
    return Panel(
        "stability_gap",
        "What a new task does to the earlier ones while it is learned",
        f"{said.mean.capitalize()} on earlier tasks, less what it was before the switch. Black: mean over switches. "
        f"{spread_words(run)}",
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
        f"{caption}{_compared(run)} {'Means of seeds.' if run.num_replicates > 1 else 'One seed.'}".strip(),
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
        f"Cosine of the gradients of {run.insight.cosines_on}.{_compared(run)} "
        + ("Means of seeds." if run.num_replicates > 1 else "One seed."),
        "All tasks, learned or yet to come, at the same parameters. Blue: a step for one task helps the other; vermillion: it "
        "harms it. Sampling noise draws the numbers towards 0. Learning that rewards alignment, as MER and La-MAML do, should "
        "leave a bluer matrix than plain SGD does on the same stream.",
    )


def _feature_drift(run: Run) -> Panel:
    return Panel(
        "feature_drift",
        "How far the features of learned tasks drifted, layer by layer",
        f"Linear CKA on {run.insight.drift_on}, mean over the earlier tasks. 1: as when learned. {spread_words(run)}",
        "What a layer hands on to the next, now and right after the task was learned (Kornblith et al. 2019). The layers are "
        f"named from the first (dark) to the last (light). Where {words(run.objective).is_lost} although early layers hold, "
        "the loss is in the last ones. Unrelated features score above 0 too, the more the wider a layer: compare a layer with "
        "itself over time. Convolutions: mean over positions; at most 128 units a layer.",
    )


def _learned_rates(run: Run) -> Panel:
    return Panel(
        "learned_rates",
        "The learned rates of every layer",
        "Line: median over the layer's weights. Band: 10% to 90% of them. "
        + ("Means of seeds." if run.num_replicates > 1 else "One seed."),
        "A layer whose rates fall is held still, one whose rates rise changes faster; a wide band means that some weights are "
        "protected and others free. In La-MAML a rate below 0 holds its weight still. Shaded: every second task.",
    )

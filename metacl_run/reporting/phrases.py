"""Phrases about a run that captions, tables and sentences share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metacl_run.scoring.intervals import FEWEST
from metacl_run.scoring.scores import Score
from metacl_run.storage.marks import marks
from metacl_run.storage.stored_run import StoredRun

MOST_CELLS = 25
"""Most tasks of which every cell of the accuracy matrix has its number."""
WIDEST_NAME = 44
"""Characters of a task's name beside a row of it."""


class ScorePhrases(NamedTuple):
    """Phrases that depend on which way a score is good."""

    mean: str
    worsens: str
    improves: str
    dip: str
    """A stretch of a line where the score is worse for a while."""
    extreme: str
    """The points of a line where the score is worst."""
    worse_side: str
    """The side of a line on which scores are worse."""
    seen_line: str
    """The place of the line of the tasks seen so far, beside that of all tasks."""
    is_lost: str


def phrases(score: Score) -> ScorePhrases:
    name = score.score_words
    if score.higher_is_better:
        return ScorePhrases(score.mean_words, "falls", "rises", "dip", "lowest", "below", "upper", f"{name} is lost")
    return ScorePhrases(score.mean_words, "rises", "falls", "peak", "highest", "above", "lower", "the error grows")


def spread_words(run: StoredRun) -> str:
    """Explains the lines and bands."""
    seeds = len(run.seeds)
    if seeds == 1:
        return "One seed, so no interval."
    if seeds < FEWEST:
        return f"Mean of {seeds} seeds; thin lines: single seeds."
    return f"Mean of {seeds} seeds with its 95% interval (Student t)."


def mean_words(run: StoredRun) -> str:
    """Explains numbers without a spread."""
    return f"Mean of {len(run.seeds)} seeds." if len(run.seeds) > 1 else "One seed."


def subtitle(run: StoredRun) -> str:
    """Identifies the run, for someone who sees the image alone."""
    summary = run.summary
    seeds = f"seed {run.seeds[0]}" if len(run.seeds) == 1 else f"{len(run.seeds)} seeds"
    data = run.config.get("data")
    episodes = data if run.kind == "continual_meta" and isinstance(data, dict) else {}
    shape = [f"{episodes[key]}-{word}" for key, word in (("ways", "way"), ("shots", "shot")) if episodes.get(key)]
    problem = f", {' '.join(shape)}" if shape else ""
    ended = [] if run.status == "completed" else [f"run {run.status}"]
    start = summary["start_from"]
    origin = [f"starts from {start['algo']} on {start['data']}, run {start['run_id']}"] if start else []
    return "  ·  ".join(
        [summary["algo"], summary["model"], f"{summary['data']}{problem}", seeds, *origin, *ended, *marks(summary)]
    )


def seeds_share_tasks(run: StoredRun) -> bool:
    """Whether every seed has the same tasks in the same order, as far as their names tell."""
    first, *others = run.summary["task_names"]
    return all(names == first for names in others)


def named_places(run: StoredRun, tasks: Sequence[int] | None = None) -> tuple[list[str], np.ndarray | None]:
    """Where seeds take the same tasks in orders of their own: the names of the K tasks in alphabetical order, and the place of
    each among them in the stream of a seed, [R, K]; None in its place where the order is one, or the tasks differ.

    Args:
        run: of one or several seeds.
        tasks: which are looked at, by their places in the stream; None: all.
    """
    if not run.num_tasks:
        return [], None
    by_seed = [
        [names[task] for task in (range(run.num_tasks) if tasks is None else tasks)] for names in run.summary["task_names"]
    ]
    names = sorted(by_seed[0])
    same = all(sorted(own) == names for own in by_seed) and len(set(names)) == len(names)
    if not same or all(own == by_seed[0] for own in by_seed):
        return names, None
    return names, np.array([np.argsort(own) for own in by_seed])


def task_label(run: StoredRun, task: int, width: int = 24) -> str:
    """The number and name of a task, "3: Hebrew"; "task 3" where the tasks of seeds differ, in whatever place; for a segment of
    a sequence, its name alone, "classes 11 to 50"."""
    name = " ".join(run.summary["task_names"][0][task].split()) if seeds_share_tasks(run) else ""
    if not name or name == f"task {task + 1}":
        return f"task {task + 1}"
    if run.sequences is not None:
        return name
    label = f"{task + 1}: {name}"
    return shortened(label, width)


def row_label(run: StoredRun, row: int, width: int = WIDEST_NAME) -> str:
    """The label of a row of the accuracy matrix, with at most so many characters of the task's name."""
    return f"after {task_label(run, row - 1, width)}" if row else "before learning"


def shortened(text: str, width: int) -> str:
    """Returns the text, cut to `width` characters with an ellipsis."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def column_label(run: StoredRun, task: int) -> str:
    """The label of a column of the accuracy matrix: the number of a task; the range of a segment, on two lines."""
    if run.sequences is None:
        return str(task + 1)
    return task_label(run, task).removeprefix(f"{run.score.concepts} ").replace(" to ", "\nto ")


def columns_name(run: StoredRun) -> str:
    """Names the columns of the accuracy matrix."""
    if run.kind == "osaka":
        return "domain"
    return "task" if run.sequences is None else run.score.concepts

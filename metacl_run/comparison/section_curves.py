"""The curves of a section's figures, read from its runs: the score and its forgetting while tasks are learned.

Shapes: S seeds, X points of the horizontal axis, T tasks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from metacl_run.comparison.configurations import Configuration
from metacl_run.core.errors import StorageError
from metacl_run.layout.seed_lines import running_means
from metacl_run.scoring.scores import SCORES, Score
from metacl_run.storage.run_files import MATRIX
from metacl_run.storage.sequence_records import MetaTestScores
from metacl_run.storage.stored_run import StoredRun


class Curve(NamedTuple):
    """A configuration in a figure."""

    x: np.ndarray
    """[X], increasing."""
    values: np.ndarray
    """[S, X], NaN where not reached."""


class CurveFigure(NamedTuple):
    """One figure with a curve for each configuration."""

    name: str
    title: str
    x_label: str
    y_label: str
    explanation: str
    is_difference: bool
    """Whether the values are differences of scores."""
    curve: Callable[[StoredRun], Curve]


def curve_figures(configuration: Configuration) -> list[CurveFigure]:
    """Returns the figures that runs like these support."""
    score = SCORES[configuration.score]
    if configuration.kind == "meta_continual":
        return _of_sequences(score)
    if configuration.kind == "osaka":
        return _of_stream(score)
    return _of_tasks(score) if StoredRun(configuration.entries[0].directory).num_tasks > 1 else _of_one_task(score)


def curve(configuration: Configuration, figure: CurveFigure) -> Curve:
    """Reads the curves of all seeds, at the points that all runs have.

    Raises:
        StorageError: a run's files are missing or broken.
    """
    curves = {entry.directory: figure.curve(StoredRun(entry.directory)) for entry in configuration.entries}
    x = np.array(sorted(set.intersection(*(set(run.x.tolist()) for run in curves.values()))))
    rows = []
    for entry, place in configuration.where.values():
        whole = curves[entry.directory]
        rows.append(whole.values[place][np.isin(whole.x, x)])
    return Curve(x, np.stack(rows))


def _of_tasks(score: Score) -> list[CurveFigure]:
    words = score.score_words
    lost = f"{words} is lost" if score.higher_is_better else "the error grows"
    return [
        CurveFigure(
            "accuracy",
            f"{words.capitalize()} on the tasks seen so far",
            "tasks learned",
            f"mean {words}" if score.higher_is_better else words,
            f"After each task, the mean {words} over the tasks learned so far; at the end, {score.score_name} of the table.",
            False,
            _seen_so_far,
        ),
        CurveFigure(
            "forgetting",
            "Forgetting while tasks are learned",
            "tasks learned",
            "forgetting",
            f"How far earlier tasks are from their best so far, on average, after each task: above 0, {lost}. The end point is "
            "forgetting of the table.",
            True,
            _forgetting,
        ),
    ]


def _of_one_task(score: Score) -> list[CurveFigure]:
    words = score.score_words
    return [
        CurveFigure(
            "accuracy",
            f"Learning curve: {words} on held-out data",
            "units of training",
            words,
            "There is one task, so nothing to forget: the score while it is learned.",
            False,
            lambda run: Curve(run.evaluations.units, run.evaluations.probe_scores[:, :, 0]),
        )
    ]


def _of_stream(score: Score) -> list[CurveFigure]:
    words = score.score_words
    return [
        CurveFigure(
            "accuracy",
            f"{words.capitalize()} so far",
            "steps of the stream",
            words,
            f"Mean {words} of the predictions so far, each made before learning. Pre-training is not shown.",
            False,
            lambda run: Curve(run.evaluations.units - run.pretraining, run.scores_so_far),
        )
    ]


def _of_sequences(score: Score) -> list[CurveFigure]:
    words, concepts = score.score_words, score.concepts
    worsens = "falls" if score.higher_is_better else "rises"
    return [
        CurveFigure(
            "accuracy",
            f"Held-out {words} after learning {concepts} one after another",
            f"{concepts} learned",
            f"held-out {words}",
            f"Every point is a sequence of its own length, learned in one pass; mean over orders of the {concepts}.",
            False,
            lambda run: Curve(_meta_test(run).lengths, _meta_test(run).held_out.mean(axis=2)),
        ),
        CurveFigure(
            "forgetting",
            f"Forgetting: held-out {words} by age",
            f"{concepts} learned after it",
            f"held-out {words}",
            f"The {words} at the end of the longest sequence, from the {concepts} learned last (left) to those learned first "
            f"(right). A line that {worsens} to the right is forgetting. Running mean over a twentieth.",
            False,
            _by_age,
        ),
    ]


def _seen_so_far(run: StoredRun) -> Curve:
    matrix = _matrix(run)
    learned = np.arange(1, run.num_tasks + 1)
    return _where_known(learned, np.stack([matrix[:, row, :row].mean(axis=1) for row in learned], axis=1))


def _forgetting(run: StoredRun) -> Curve:
    """From the second task on: `forgetting` as if the run had ended there."""
    rows, tasks = run.score.sign * _matrix(run), run.num_tasks
    not_learned = np.triu(np.ones((tasks + 1, tasks), dtype=bool)) & np.isnan(rows)
    best = np.maximum.accumulate(np.where(not_learned, -np.inf, rows)[:, 1:], axis=1)  # [S, k, T]: after k + 1 tasks
    learned = np.arange(2, tasks + 1)
    values = [(best[:, k - 2, : k - 1] - rows[:, k, : k - 1]).mean(axis=1) for k in learned]
    return _where_known(learned, np.stack(values, axis=1))


def _by_age(run: StoredRun) -> Curve:
    youngest_first = _meta_test(run).place_held_out[:, ::-1]
    return Curve(np.arange(youngest_first.shape[1]), running_means(youngest_first))


def _where_known(x: np.ndarray, values: np.ndarray) -> Curve:
    """Without the points that no seed has, such as after tasks whose row was not evaluated."""
    known = np.isfinite(values).any(axis=0)
    return Curve(x[known], values[:, known])


def _matrix(run: StoredRun) -> np.ndarray:
    if not np.isfinite(run.matrix).any():
        raise StorageError(f"{run.directory / MATRIX}: is missing or empty, so the run is in no figure")
    return run.matrix


def _meta_test(run: StoredRun) -> MetaTestScores:
    if run.sequences is None or run.sequences.meta_test is None:
        raise StorageError(f"{run.directory}: holds no meta-test, so the run is in no figure")
    return run.sequences.meta_test

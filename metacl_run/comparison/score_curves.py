"""The lines of a section's figures, read from its runs: the score and what was forgotten of it, while tasks are learned.

Shapes: S seeds, X points of the horizontal axis, T tasks.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from metacl_run.comparison.entries import Entry
from metacl_run.comparison.groups import Configuration
from metacl_run.core.errors import StorageError
from metacl_run.layout.seed_lines import running_mean
from metacl_run.scoring.scores import SCORES, Score
from metacl_run.storage.read_run import load


class Curve(NamedTuple):
    """A configuration in a figure."""

    x: np.ndarray
    """[X], increasing."""
    values: np.ndarray
    """[S, X], NaN where not reached."""


class Kind(NamedTuple):
    """One figure: how it is drawn and where its lines come from."""

    name: str
    title: str
    x_label: str
    y_label: str
    explanation: str
    difference: bool
    """Of a difference of scores, not of a score."""
    of_run: Callable[[Entry], Curve]


def kinds(entry: Entry) -> list[Kind]:
    """The figures that runs like this one support."""
    score = SCORES[entry.score]
    if entry.kind == "meta_continual":
        return _of_sequences(score)
    tasks = _matrix(entry).shape[2]
    return _of_tasks(score) if tasks > 1 else _of_one_task(score)


def curve(configuration: Configuration, kind: Kind) -> Curve:
    """Its seeds side by side, at the points that all its runs have.

    Raises:
        StorageError: a run's files are missing or broken.
    """
    found = {entry.directory: kind.of_run(entry) for entry in configuration.entries}
    shared = set.intersection(*(set(each.x.tolist()) for each in found.values()))
    x = np.array(sorted(shared))
    rows = []
    for entry, place in configuration.where.values():
        whole = found[entry.directory]
        rows.append(whole.values[place][np.isin(whole.x, x)])
    return Curve(x, np.stack(rows))


def _of_tasks(score: Score) -> list[Kind]:
    said = score.score_words
    lost = f"{said} is lost" if score.higher_is_better else "the error grows"
    return [
        Kind(
            "accuracy",
            f"{said.capitalize()} on the tasks seen so far",
            "tasks learned",
            f"mean {said}" if score.higher_is_better else said,
            f"After each task, the mean {said} over the tasks learned by then; at the end, {score.score_name} of the table.",
            False,
            lambda entry: _seen_so_far(_matrix(entry)),
        ),
        Kind(
            "forgetting",
            "Forgetting while tasks are learned",
            "tasks learned",
            "forgetting",
            f"After each task, how far earlier tasks are from their best by then, on average: above 0, {lost}; at the end, "
            "forgetting of the table.",
            True,
            lambda entry: _forgotten(_matrix(entry), score),
        ),
    ]


def _of_one_task(score: Score) -> list[Kind]:
    said = score.score_words

    def learning(entry: Entry) -> Curve:
        run = load(entry.directory)
        return Curve(run.eval_units, run.probe_scores[:, :, 0])

    return [
        Kind(
            "accuracy",
            f"Learning curve: {said} on held-out problems",
            "units of training",
            said,
            "There is one task, so nothing to forget: how the score develops while it is learned.",
            False,
            learning,
        )
    ]


def _of_sequences(score: Score) -> list[Kind]:
    said, concepts = score.score_words, score.concepts

    def by_length(entry: Entry) -> Curve:
        test = _meta_test(entry)
        return Curve(np.array(test["lengths"]), np.array(test[entry.score], dtype=float).mean(axis=2))

    def by_age(entry: Entry) -> Curve:
        values = np.array(_meta_test(entry)["by_place"][entry.score], dtype=float)[:, ::-1]  # youngest first
        return Curve(np.arange(values.shape[1]), np.stack([running_mean(each) for each in values]))

    return [
        Kind(
            "accuracy",
            f"Held-out {said} after learning {concepts} one after another",
            f"{concepts} learned",
            f"held-out {said}",
            f"Every point is a sequence of its own length, learned once through; mean over orders of the {concepts}.",
            False,
            by_length,
        ),
        Kind(
            "forgetting",
            f"Forgetting: held-out {said} by age",
            f"{concepts} learned after it",
            f"held-out {said}",
            f"Of the longest sequence: how well those learned last (left) and first (right) are known at its end. A line that "
            f"{'falls' if score.higher_is_better else 'rises'} to the right is forgetting. Running mean over a twentieth.",
            False,
            by_age,
        ),
    ]


def _seen_so_far(matrix: np.ndarray) -> Curve:
    tasks = matrix.shape[2]
    means = [matrix[:, row, :row].mean(axis=1) for row in range(1, tasks + 1)]
    return _where_known(np.arange(1, tasks + 1), np.stack(means, axis=1))


def _forgotten(matrix: np.ndarray, score: Score) -> Curve:
    """From the second task on: `forgetting` as if the run had ended there."""
    rows = score.sign * matrix
    tasks = matrix.shape[2]
    not_learned = np.triu(np.ones((tasks + 1, tasks), dtype=bool)) & np.isnan(rows)
    best = np.maximum.accumulate(np.where(not_learned, -np.inf, rows)[:, 1:], axis=1)  # after so many tasks and one
    learned = np.arange(2, tasks + 1)
    values = [(best[:, k - 2, : k - 1] - rows[:, k, : k - 1]).mean(axis=1) for k in learned]
    return _where_known(learned, np.stack(values, axis=1))


def _where_known(x: np.ndarray, values: np.ndarray) -> Curve:
    """Without the points that no seed has, as after tasks whose row was not evaluated."""
    known = np.isfinite(values).any(axis=0)
    return Curve(x[known], values[:, known])


def _matrix(entry: Entry) -> np.ndarray:
    path = entry.directory / "accuracy_matrix.npy"
    try:
        matrix = np.asarray(np.load(path, allow_pickle=False), dtype=float)
    except (OSError, ValueError, EOFError) as error:
        raise StorageError(f"{path}: cannot be read ({error}), so the run is in no figure") from None
    if matrix.ndim != 3 or len(matrix) != len(entry.seeds) or matrix.shape[1] != matrix.shape[2] + 1:
        raise StorageError(f"{path}: has the shape {list(matrix.shape)}, which is not that of its seeds and tasks")
    return matrix


def _meta_test(entry: Entry) -> dict[str, Any]:
    path = entry.directory / "summary.json"
    content = json.loads(path.read_bytes()).get("meta_test")
    if not content:
        raise StorageError(f"{path}: holds no meta-test, so the run is in no figure")
    return content

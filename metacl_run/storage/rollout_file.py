"""Reads rollouts.json (`protocols/online/rollout_recorder.py`). Shapes: E episodes, S points of a path, N things."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metacl_run.storage.optional_file import read_optional


class Episodes(NamedTuple):
    """Some episodes of a task at one moment."""

    points: np.ndarray
    """[E, S, N, 2] float, NaN where the learner lost itself."""
    successes: np.ndarray
    """[E] bool."""
    ends: np.ndarray
    """[E] int, the point of the path at which the goal was reached; the last one where it was not, or is not known."""


class TaskRollouts(NamedTuple):
    """The same episodes of a task at two moments."""

    task: int
    """From 0."""
    things: list[str]
    """[N] names; the first is what acts."""
    right_after_learning: Episodes
    at_the_end: Episodes


class Rollouts(NamedTuple):
    """Paths of a completed run."""

    seed: int
    """Whose learner acts."""
    tasks: list[TaskRollouts]


def read(path: Path) -> Rollouts | None:
    """Returns what the file says; see `read_optional`."""
    return read_optional(path, _read)


def _read(path: Path) -> Rollouts:
    content = json.loads(path.read_bytes())
    return Rollouts(int(content["seed"]), [_task(task) for task in content["tasks"]])


def _task(content: Any) -> TaskRollouts:
    things = [str(thing) for thing in content["things"]]
    moments = [_episodes(content[moment], len(things)) for moment in ("right_after_learning", "at_the_end")]
    return TaskRollouts(int(content["task"]), things, *moments)


def _episodes(content: Any, num_things: int) -> Episodes:
    points, successes = np.array(content["points"], dtype=float), np.array(content["successes"], dtype=bool)
    if points.ndim != 4 or points.shape[2:] != (num_things, 2) or successes.shape != points.shape[:1]:
        raise ValueError("paths of another shape")
    last = points.shape[1] - 1
    reached_at = np.array(content.get("reached_at", np.full(len(points), last)), dtype=int)  # 0.7 did not write it
    if reached_at.shape != successes.shape or (reached_at > last).any():
        raise ValueError("steps of another shape")
    return Episodes(points, successes, np.where(successes, reached_at, last))

"""Notes on what a run takes of the data and what it leaves out: what a user would not notice by looking at numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def on_unused_classes(total: int, used: int) -> list[str]:
    """Classes that fill no task, of so many that tasks may take."""
    if used == total:
        return []
    return [f"{total - used} of {total} classes fill no task and are left out"]


def on_smallest_task(available: np.ndarray, used: int) -> list[str]:
    """Training samples that tasks have beyond what every task takes.

    Args:
        available: [R, T] training samples of each task.
        used: taken of each.
    """
    if available.max() <= used:
        return []
    left, total = _range((available - used).sum(1)), _range(available.sum(1))
    return [
        f"{left} of {total} training samples are left out: every task takes {used}, as many as the smallest task that a seed "
        f"can deal, while the largest here has {available.max()}"
    ]


def on_sizes_by_seed(available: np.ndarray, used: int) -> list[str]:
    """Training samples that are left out where tasks of one place differ between seeds.

    Args:
        available: [R, T] training samples of each task.
        used: of all tasks together.
    """
    left = available.sum(1) - used
    if not left.any():
        return []
    return [
        f"{_range(left)} of {_range(available.sum(1))} training samples are left out: with data.shuffled=true a task of every "
        "seed takes as many as the smallest that a seed can deal in its place"
    ]


def on_cut_first_task(train_per_task: int, per_class: Sequence[float]) -> list[str]:
    """A first task of more classes that `train_per_task` cuts to as many samples as the others; [T] samples of a class."""
    first, other = per_class[0], per_class[-1]
    if first >= 0.95 * other:
        return []
    return [
        f"the first task has about {first:.0f} training samples of a class, the last {other:.0f}: data.train_per_task="
        f"{train_per_task} cuts every task to as many, whatever its classes"
    ]


def _range(values: np.ndarray) -> str:
    """Over seeds."""
    low, high = values.min(), values.max()
    return str(low) if low == high else f"{low} to {high}"


def on_smallest_class(counts: np.ndarray, used: int) -> list[str]:
    """Examples that classes have beyond the class with the fewest."""
    left = int((counts - used).sum())
    if not left:
        return []
    return [f"{left} of {counts.sum()} examples are left out: every class gives {used}, as many as the one with the fewest has"]

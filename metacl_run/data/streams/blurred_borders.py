"""Blurred task boundaries: a share of each task's training samples comes from the other tasks.

This is the setting of Bang et al. 2021 (arXiv 2103.17230, "Rainbow memory", blurry CIFAR: the rest of the samples of a task
comes from the classes of all other tasks) and of the blurry part of Koh et al. 2022 (arXiv 2110.10031, i-Blurry). A task gives
away as many samples as it receives, spread evenly over all other tasks, where they come at random times. Their appearance does
not change: a sample keeps the shift of its own task, under which its class is tested. The current task is the task of most
samples: a method that needs to know where tasks end (ewc, si, gem, packnet ...) is told these boundaries.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from metacl_run.core.randomness import Purpose, generator
from metacl_run.data.streams.sample_pool import SampleTable


def blurred(train: SampleTable, share: float, seeds: Sequence[int]) -> SampleTable:
    """The training samples [R, T, N] of tasks of one length, of which a share has changed places with those of other tasks."""
    _, tasks, samples = train.rows.shape
    homes = np.broadcast_to(np.arange(tasks)[:, None], train.rows.shape)
    columns = {"rows": train.rows, "labels": train.labels, "origins": train.origins, "homes": homes}
    before = {name: column for name, column in columns.items() if column is not None}
    after = {name: column.copy() for name, column in before.items()}
    moved = count_moved(share, samples)
    for replicate, seed in enumerate(seeds):
        rng = generator(Purpose.BLUR, seed)
        places = np.stack([rng.permutation(samples)[:moved] for _ in range(tasks)])  # [T, moved]
        home = np.arange(tasks)[:, None]
        target = (home + 1 + np.arange(moved) % (tasks - 1)) % tasks  # as many arrive as leave
        for task in range(tasks):
            from_task, from_number = np.nonzero(target == task)
            from_place = places[from_task, from_number]
            for name, column in before.items():
                after[name][replicate, task, places[task]] = column[replicate, from_task, from_place]
    return dataclasses.replace(train, **after)


def count_moved(share: float, samples: int) -> int:
    """The samples of each task that change places with those of others."""
    return round(share * samples)

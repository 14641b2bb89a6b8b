"""Sources of numbered points, so that a test sees which examples a stream deals out; no image, no file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from metacl_run.config.streams import STREAM, build_stream
from metacl_run.data.sources.source import Catalogue, LabelledExamples, LabelledSource, SplitExamples, SplitSource
from metacl_run.data.streams.class_samples import HeldOutClassSamples, SplitClassSamples
from metacl_run.data.streams.stream import SamplePool

NUM_TRAIN = sum(range(12, 19))
"""Training points of `SplitPoints`."""
ONE_SIZE: dict[str, Any] = {"order_seed": None, "class_order": None, "first_task_classes": None}
"""Every task has as many classes, in an order of each seed's own."""


def numbered(count: int) -> np.ndarray:
    """[count, 2] float32 points; the first coordinate is the number of the point."""
    return np.stack([np.arange(count), np.ones(count)], 1).astype(np.float32)


def numbers(x: torch.Tensor) -> np.ndarray:
    """The numbers of points [..., 2]."""
    return x[..., 0].long().numpy()


@dataclass(frozen=True, kw_only=True)
class SplitPoints(SplitSource):
    """Seven classes of 12 to 18 training and 4 to 10 test points, in random order within a part."""

    @property
    def example_shape(self) -> tuple[int, ...]:
        return (2,)

    def parts(self) -> tuple[Catalogue, Catalogue]:
        names = [f"class {number}" for number in range(7)]
        train, test = (Catalogue(names=names, counts=fewest + np.arange(7), groups=names) for fewest in (12, 4))
        return train, test

    def read_parts(self) -> SplitExamples:
        rng = np.random.default_rng(0)
        labels = np.concatenate([rng.permutation(np.repeat(np.arange(7), part.counts)) for part in self.parts()])
        return SplitExamples(x=numbered(len(labels)), y=labels, num_train=NUM_TRAIN)


@dataclass(frozen=True, kw_only=True)
class GroupedPoints(LabelledSource):
    """Four groups of 1, 2, 2 and 4 classes with 6, 7, .. 14 points."""

    @property
    def example_shape(self) -> tuple[int, ...]:
        return (2,)

    def catalogue(self) -> Catalogue:
        groups = [group for group, size in zip("abcd", (1, 2, 2, 4), strict=True) for _ in range(size)]
        return Catalogue(names=[f"class {number}" for number in range(9)], counts=6 + np.arange(9), groups=groups)

    def read(self) -> LabelledExamples:
        return LabelledExamples(catalogue=self.catalogue(), x=numbered(90))


def split_points(**changes: Any) -> SplitClassSamples:
    """Three tasks of two classes of `SplitPoints`, or with settings changed."""
    settings = {
        **{"num_tasks": 3, "tasks_from": "classes", "classes_per_task": 2, "shuffled": True, "scenario": "class"},
        **{"train_per_task": None, "test_per_task": None, "shift": "none", "balance": "tasks", "blur": 0.0, **ONE_SIZE},
    }
    return _build("SplitPoints", SplitClassSamples, {**settings, **changes})


def grouped_points(**changes: Any) -> HeldOutClassSamples:
    """Two tasks of whole groups of `GroupedPoints`, two points of each class kept for test, or with settings changed."""
    settings = {
        **{"num_tasks": 2, "tasks_from": "groups", "classes_per_task": None, "shuffled": True, "scenario": "class"},
        **{"test_examples": 2, "shift": "none", "balance": "tasks", "blur": 0.0, **ONE_SIZE},
    }
    return _build("GroupedPoints", HeldOutClassSamples, {**settings, **changes})


def _build(source: str, stream: type, settings: dict[str, Any]) -> Any:
    targets = {"_target_": f"{__name__}.{source}", STREAM: f"{stream.__module__}.{stream.__name__}"}
    return build_stream({**targets, **settings}, "online", elsewhere={})


def train_samples(pool: SamplePool, replicate: int, task: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and labels of a task's training points, in the order in which they come."""
    count = pool.samples_per_task
    samples = pool.gather(replicate, np.arange(task * count, (task + 1) * count))
    assert (samples.task == task).all()
    return numbers(samples.x), samples.y.numpy()


def held_out_samples(pool: SamplePool, replicate: int, task: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and labels of a task's test points."""
    samples = pool.test(task, None)[replicate]
    assert (samples.task == task).all()
    return numbers(samples.x), samples.y.numpy()

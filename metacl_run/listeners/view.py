"""The latest state of a run, computed from its records, for displays. R replicates, T tasks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from metacl_run.listeners.scalars import evaluated, num_seen
from metacl_run.scoring.scores import SCORES
from metacl_run.storage.listener import RunInfo

BLOCKS = "▁▂▃▄▅▆▇█"
SHOWN = ("train", "eval", "probe", "meta_test_progress")
"""Kinds of records that change the view."""


class View:
    """The latest state of a run."""

    def __init__(self, info: RunInfo) -> None:
        self.info = info
        self.num_tasks = len(info.task_names[0])
        self.total = info.total_units
        self.unit, self.task, self.seen, self.wall_s = info.first_unit, 0, 0, 0.0
        self.now = np.full(self.num_tasks, np.nan)
        """[T] latest score of each task, at its last evaluation."""
        self.learned = np.full(self.num_tasks, np.nan)
        """[T] score right after a task was learned."""
        self.losses: list[float] = []
        self.in_sequence = info.protocol_kind == "meta_continual"
        """Whether one phase of training is followed by a meta-test on sequences of classes."""
        self.is_stream = info.protocol_kind == "osaka"
        """Whether a stream is predicted and learned step by step, perhaps after pre-training."""
        self._so_far = math.nan
        """The score of all predictions of a stream so far."""
        self.probe = ""
        """The result of the last probe, in words."""
        self.meta_test: tuple[int, int, str] | None = None
        """Steps of the meta-test that are done, steps in all, and the current step in words."""
        self._began: tuple[int, float] | None = None
        for record in info.earlier:
            if record["kind"] in SHOWN:
                self.update(record)
        self._began = None

    def update(self, record: dict[str, Any]) -> None:
        self.unit, self.task, self.wall_s = record["unit"], record["task"], record["wall_s"]
        if record["kind"] == "meta_test_progress":
            if self.meta_test is None:
                self._began = None
            self.meta_test = record["done"], record["of"], record["text"]
        self._began = self._began or (self.done, self.wall_s)
        if record["kind"] == "train" and "loss" in record["metrics"]:
            self.losses.append(float(np.mean(np.array(record["metrics"]["loss"], dtype=float))))
        if record["kind"] == "eval":
            self.now[list(evaluated(record, self.info.score))] = np.array(record[self.info.score], dtype=float).mean(axis=0)
            self.seen = num_seen(record)
            self._so_far = float(np.mean(np.array(record["so_far"], dtype=float))) if self.is_stream else math.nan
            if record["row"]:
                self.learned[record["row"] - 1] = self.now[record["row"] - 1]
        if record["kind"] == "probe":
            score, concepts = self.info.score, SCORES[self.info.score].concepts
            held_out, memory = (float(np.mean(np.array(record[name], dtype=float))) for name in (score, "memory"))
            self.probe = f"{record['length']} unseen {concepts} in sequence: {score} {held_out:.2f} (memory {memory:.2f})"

    @property
    def done(self) -> int:
        """Units of work done; once the meta-test has begun, steps of it."""
        return self.unit if self.meta_test is None else self.meta_test[0]

    @property
    def of(self) -> int:
        """Units of work, or steps of the meta-test, in all."""
        return self.total if self.meta_test is None else self.meta_test[1]

    def task_name(self, task: int) -> str:
        """Returns the task's name, or "" where replicates order the tasks differently."""
        names = {replicate[task] for replicate in self.info.task_names}
        return names.pop() if len(names) == 1 else ""

    def position(self) -> str:
        if self.in_sequence:
            return "meta-training" if self.meta_test is None else self.meta_test[2]
        if self.is_stream:
            return "stream" if self.unit > self._pretraining or not self._pretraining else "pre-training"
        return self.numbered_task(self.task)

    def numbered_task(self, task: int) -> str:
        """Returns "task 1/2 Korean", or "task 1/2" where the task has no name but its number."""
        number, name = f"task {task + 1}", self.task_name(task)
        return f"{number}/{self.num_tasks}{f' {name}' if name not in ('', number) else ''}"

    @property
    def score_words(self) -> str:
        """Returns what `score` is: "accuracy so far", or "accuracy before learning"; "" where there is none yet."""
        if not np.isfinite(self.now).any() or (self.is_stream and math.isnan(self._so_far)):
            return ""
        return f"{self.info.score} {'so far' if self.seen or self.is_stream else 'before learning'}"

    def score(self) -> float:
        """Returns the mean over the tasks seen so far; over all tasks before any learning."""
        return self._so_far if self.is_stream else float(self.now[: self.seen or None].mean())

    @property
    def _pretraining(self) -> int:
        """Units before the stream."""
        algo = self.info.config.get("algo")
        if self.info.evaluation_of is not None or not isinstance(algo, dict):
            return 0
        return int(algo.get("pretrain_updates") or 0)

    def time_left(self) -> str:
        """Estimates the time left from the mean pace of this process, evaluations included; '-' before there is a pace."""
        if self._began is None or self.done <= self._began[0] or self.wall_s <= self._began[1]:
            return "-"
        pace = (self.wall_s - self._began[1]) / (self.done - self._began[0])
        return clock(pace * max(self.of - self.done, 0))


def clock(seconds: float) -> str:
    """Formats seconds: 75 -> '1:15', 4000 -> '1:06:40'."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def sparkline(values: list[float], width: int) -> str:
    """Draws at most `width` blocks. A block is the mean of its share of `values`, scaled from lowest to highest; NaN is '!'."""
    shares = np.array_split(np.array(values), min(width, len(values)))
    means = [float(share.mean()) for share in shares]
    finite = [mean for mean in means if math.isfinite(mean)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    scale = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(BLOCKS[round((mean - low) * scale)] if math.isfinite(mean) else "!" for mean in means)

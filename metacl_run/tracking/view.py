"""What a display of a run shows: the latest state, worked out from the records. R replicates, T tasks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from metacl_run.tracking.listener import RunInfo
from metacl_run.tracking.scalars import num_seen

BLOCKS = "▁▂▃▄▅▆▇█"


class View:
    """What the records so far amount to."""

    def __init__(self, info: RunInfo) -> None:
        self.info = info
        self.num_tasks = len(info.task_names[0])
        self.total = info.units_per_task * self.num_tasks
        self.unit, self.task, self.seen, self.wall_s = info.first_unit, 0, 0, 0.0
        self.now = np.full(self.num_tasks, np.nan)
        """[T] latest score."""
        self.learned = np.full(self.num_tasks, np.nan)
        """[T] score right after a task was learned."""
        self.losses: list[float] = []
        self._began: tuple[int, float] | None = None
        for record in info.earlier:
            if record["kind"] in ("train", "eval"):
                self.take(record)
        self._began = None

    def take(self, record: dict[str, Any]) -> None:
        self.unit, self.task, self.wall_s = record["unit"], record["task"], record["wall_s"]
        self._began = self._began or (self.unit, self.wall_s)
        if record["kind"] == "train" and "loss" in record["metrics"]:
            self.losses.append(float(np.mean(np.array(record["metrics"]["loss"], dtype=float))))
        if record["kind"] == "eval":
            self.now = np.array(record[self.info.score], dtype=float).mean(axis=0)
            self.seen = num_seen(record)
            if record["row"]:
                self.learned[record["row"] - 1] = self.now[record["row"] - 1]

    def task_name(self, task: int) -> str:
        """The task's name, or nothing where replicates order the tasks differently."""
        names = {replicate[task] for replicate in self.info.task_names}
        return names.pop() if len(names) == 1 else ""

    def position(self) -> str:
        return f"task {self.task + 1}/{self.num_tasks} {self.task_name(self.task)}".rstrip()

    def score(self) -> float:
        """Mean over the tasks seen so far; over all before any learning."""
        return float(self.now[: self.seen or None].mean())

    def time_left(self) -> str:
        """By the mean pace since this process began, evaluations included; '-' before there is one."""
        if self._began is None or self.unit <= self._began[0] or self.wall_s <= self._began[1]:
            return "-"
        pace = (self.wall_s - self._began[1]) / (self.unit - self._began[0])
        return clock(pace * max(self.total - self.unit, 0))


def clock(seconds: float) -> str:
    """75 -> '1:15', 4000 -> '1:06:40'."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def sparkline(values: list[float], width: int) -> str:
    """At most `width` blocks, each the mean of its share of `values`, from the lowest to the highest; NaN is '!'."""
    shares = np.array_split(np.array(values), min(width, len(values)))
    means = [float(share.mean()) for share in shares]
    finite = [mean for mean in means if math.isfinite(mean)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    scale = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(BLOCKS[round((mean - low) * scale)] if math.isfinite(mean) else "!" for mean in means)

"""The progress of a run in lines of text: always for run.log, and for terminals without a live display.

Scores are means over replicates.
"""

from __future__ import annotations

import math
from typing import Any

from metacl_run.listeners.view import View
from metacl_run.scoring.scores import SCORES
from metacl_run.storage.listener import RunInfo
from metacl_run.storage.marks import ON_VALIDATION


class PlainLines:
    """Makes lines at the start, after every task or probe, and in between at most every `interval_s`, once per unit of work."""

    def __init__(self, view: View, interval_s: float = 10.0) -> None:
        self._view, self._interval_s = view, interval_s
        self._next_s = 0.0
        self._last_place: tuple[str, int] | None = None
        """Position and unit at the last line in between."""

    def start(self) -> list[str]:
        view, info = self._view, self._view.info
        units = info.task_units
        length = f"{info.units_per_task}" if units is None or units.are_equal else f"{units.shortest} to {units.longest}"
        work = f"{view.num_tasks} task{'s' if view.num_tasks > 1 else ''} of {length} {info.unit_name}s"
        if view.in_sequence:
            concepts = SCORES[info.score].concepts
            work = f"{view.total} {info.unit_name}s, then a meta-test on sequences of unseen {concepts}"
        if view.is_stream:
            domains = f"{view.num_tasks} domain{'s' if view.num_tasks > 1 else ''}"
            work = f"{view.total} {info.unit_name}s, of a stream of {domains}"
            work += " and of pre-training before it" if view.total > info.config["protocol"]["steps"] else ""
        if info.evaluation_of is not None:
            work = f"evaluation of run {info.evaluation_of}"
            work += "" if view.in_sequence else f" on {view.num_tasks} task{'s' if view.num_tasks > 1 else ''}"
        lines = [f"{title(info)}: {work}", f"run directory {info.directory}"]
        if info.first_unit:
            lines.append(f"continuing after {info.unit_name} {info.first_unit}/{view.total}")
        return lines

    def after(self, record: dict[str, Any]) -> str | None:
        """Updates the view with a record, and returns a line where one is due."""
        view = self._view
        step = view.position()
        view.update(record)
        line = self._line(record, step)
        if line is not None:
            self._next_s = view.wall_s + self._interval_s
        return line

    def _line(self, record: dict[str, Any], step: str) -> str | None:
        view, info = self._view, self._view.info
        due = view.wall_s >= self._next_s
        if record["kind"] == "eval" and record["row"] is not None:
            after = f"after {view.numbered_task(view.seen - 1)}" if view.seen else "before learning"
            if record.get("tasks", [0])[0] > 0:  # the task just learned alone: see protocols/evaluation_rows.py
                return f"{after}: {info.score} on it {view.now[view.seen - 1]:.3f}"
            return f"{after}: {info.score} {view.score():.3f}{self._earlier()}"
        if record["kind"] == "probe":
            return f"after {view.unit}/{view.total} {info.unit_name}s: {view.probe}"
        if view.meta_test is not None:
            if due or view.position() != step or view.done == view.of:
                return f"meta-test {view.done}/{view.of}: {view.position()}, {view.time_left()} left"
            return None
        place = view.position(), view.unit
        if not due or place == self._last_place:
            return None
        self._last_place = place
        loss = f"loss {view.losses[-1]:.4g}, " if view.losses else ""
        score = f"{view.score_words} {view.score():.3f}, " if view.score_words and not view.in_sequence else ""
        return f"{place[0]}, {info.unit_name} {view.unit}/{view.total}: {loss}{score}{view.time_left()} left"

    def _earlier(self) -> str:
        view = self._view
        if view.seen < 2:
            return ""
        change = (view.now - view.learned)[: view.seen - 1].mean()
        if math.isnan(change):
            return f" (mean of {view.seen})"
        return f" (mean of {view.seen}), earlier tasks {change:+.3f} since learned"


def title(info: RunInfo) -> str:
    """Returns a run's title: algorithm, model, data, seeds, and a mark where it is evaluated on validation data."""
    seeds = " ".join(map(str, info.seeds))
    protocol = info.config.get("protocol")
    split = protocol.get("eval_split") if isinstance(protocol, dict) else None
    mark = f" ({ON_VALIDATION})" if split == "validation" else ""
    return f"{info.algo}, {info.model}, {info.data}, seed{'s' if len(info.seeds) > 1 else ''} {seeds}{mark}"

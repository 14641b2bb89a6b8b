"""Watches the run of a trial: reports its score to the study, and says when the trial falls behind the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from metacl_run.storage.run_files import METRICS
from metacl_run.sweeps.pruning import falls_behind, share_done
from metacl_run.sweeps.search import Search
from metacl_run.sweeps.study import Trial, curves_of_others


class Watch:
    """Reports a run's score on the tasks seen so far to the study while it runs; true once the trial should be pruned.

    Args:
        search: the search of the trial.
        trial: the trial that is running.
        directory: the directory of its run.
        units: units of work in the whole run.
    """

    def __init__(self, search: Search, trial: Trial, directory: Path, units: int) -> None:
        self._search, self._trial, self._path, self._units = search, trial, directory / METRICS, units
        self._read = 0
        self._curve: dict[int, float] = {}
        self.pruned = False

    def __call__(self) -> bool:
        for record in self._new_records():
            if record.get("tasks", [0])[0] > 0:
                continue  # not all tasks so far were evaluated
            if record["kind"] not in ("eval", "probe") or not 0 < record["unit"] <= self._units:
                continue
            share = share_done(record["unit"], self._units)
            if share > max(self._curve, default=-1):
                scores = np.array(record[self._search.score], dtype=float)
                seen = scores[:, : record["task"] + 1] if record["kind"] == "eval" else scores
                if np.isfinite(seen).all():
                    self._curve[share] = float(seen.mean())
                    self._trial.report(self._curve[share], share)
                    self.pruned = self.pruned or self._behind()
        return self.pruned

    def _behind(self) -> bool:
        if self._search.pruner != "median":
            return False
        higher_is_better = self._search.direction == "maximize"
        return falls_behind(self._curve, curves_of_others(self._trial), higher_is_better=higher_is_better)

    def _new_records(self) -> list[dict[str, Any]]:
        """Reads the whole lines that were not read before.

        A run that went back to its checkpoint writes its last records again, with other times and so of other lengths.
        """
        try:
            with open(self._path, "rb") as file:
                if file.seek(0, 2) < self._read:
                    self._read = 0
                file.seek(self._read)
                whole = file.read().rpartition(b"\n")[0]
        except OSError:
            return []
        try:
            records = [json.loads(line) for line in whole.splitlines()]
        except ValueError:  # the place is within a record that was written again
            self._read = 0
            return []
        self._read += len(whole) + 1 if whole else 0
        return records

"""A table with one number per line, metrics.csv in the run directory, for pandas, R or a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metacl_run.listeners.scalars import evaluated
from metacl_run.scoring.metric_table import TRANSDUCTIVE
from metacl_run.storage.listener import Listener, Logger, RunInfo
from metacl_run.storage.run_files import METRICS_CSV
from metacl_run.storage.stored_run import StoredRun

COLUMNS = ("unit", "task", "kind", "seed", "metric", "value")


@dataclass(frozen=True, kw_only=True)
class CsvLogger(Logger):
    def listener(self) -> Listener:
        return CsvListener()


class CsvListener(Listener):
    """Writes the file anew at every start, for a continued run with the earlier records first; then every record at once."""

    def __init__(self) -> None:
        self._info: RunInfo

    def started(self, info: RunInfo) -> None:
        self._info = info
        (info.directory / METRICS_CSV).unlink(missing_ok=True)
        self._write([COLUMNS])
        for record in info.earlier:
            self.record(record)

    def record(self, record: dict[str, Any]) -> None:
        self._write(rows(record, self._info.seeds, self._info.score))

    def finished(self, run: StoredRun) -> None:
        unit = run.summary["timing"].get("units")
        for name, metric in run.summary["metrics"].items():
            self._write(
                (unit, None, "summary", seed, name, value) for seed, value in zip(run.seeds, metric["values"], strict=True)
            )

    def _write(self, lines: Iterable[Sequence[Any]]) -> None:
        with open(self._info.directory / METRICS_CSV, "a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(lines)


def rows(record: Mapping[str, Any], seeds: Sequence[int], score: str) -> Iterator[tuple[Any, ...]]:
    """Yields the numbers of a record, a tuple by `COLUMNS` for each; nothing for a kind that has no curve.

    Tasks are counted from 1. The task of a "train" line is the one that is learned; that of an "eval" line is the one that is
    evaluated, at the unit of the line; a "probe" of `meta_continual` has none. What is not finite has an empty value.
    """
    unit, kind = record["unit"], record["kind"]
    if kind == "train":
        for name, values in record["metrics"].items():
            yield from ((unit, record["task"] + 1, kind, seed, name, value) for seed, value in zip(seeds, values, strict=True))
    elif kind == "eval":
        for name in (score, f"{TRANSDUCTIVE}{score}"):
            for seed, scores in zip(seeds, record.get(name, [[]] * len(seeds)), strict=True):
                yield from (
                    (unit, task + 1, kind, seed, name, value)
                    for task, value in zip(evaluated(record, score), scores, strict=bool(scores))
                )
    elif kind == "probe":
        for name in (score, "memory"):
            yield from ((unit, None, kind, seed, name, value) for seed, value in zip(seeds, record[name], strict=True))

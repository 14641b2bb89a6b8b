"""Stored runs as what is compared: seeds, settings, the value of every metric for every seed."""

from __future__ import annotations

import contextlib
import gc
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metacl_run.comparison.table_sizes import sizes_under
from metacl_run.core.errors import StorageError
from metacl_run.core.protocol_kind import kind_of
from metacl_run.scoring.scores import SCORES
from metacl_run.storage import archive
from metacl_run.storage.marks import was_transductive

VERSION = "metacl_run"
"""Among a run's settings: the version that computed it, since the same settings may give other numbers by another."""
GROUPS = ("algo", "model", "data", "protocol")
"""Whose choices a summary names."""
TABLE_SIZE = "table.size"
"""The key of the size of a run for a paper's table, where it is not the full one."""
ONE_WAY = "protocol.transductive"
"""A setting of version 0.1, kept only where a run's scores are transductive: any other run's are of each query alone."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A run that has ended.

    Attributes:
        choices: {"algo": "maml", ...}.
        kind: of the protocol.
        settings: by full keys, the choices among them and without `seeds`; JSON values.
        identity: the same for all runs that differ in nothing but seeds and what cannot change the result.
        metrics: by name, a value for each seed; NaN where it was not reached.
    """

    directory: Path
    choices: dict[str, str]
    kind: str
    score: str
    status: str
    seeds: tuple[int, ...]
    settings: dict[str, Any]
    identity: str
    metrics: dict[str, tuple[float, ...]]


def gather(directories: Iterable[Path]) -> tuple[list[Entry], list[str]]:
    """What can be compared, and for every other run a message with its directory and the reason."""
    entries, refused = [], []
    with _uncollected():
        sizes: dict[Path, dict[str, str]] = {}
        for directory in directories:
            *_, output_dir = [directory, *directory.absolute().parents[:3]]
            if output_dir not in sizes:
                sizes[output_dir] = sizes_under(output_dir)
            try:
                entries.append(read(directory, sizes[output_dir].get("/".join(directory.absolute().parts[-3:]))))
            except StorageError as error:
                refused.append(str(error))
    return entries, refused


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Without looking for garbage: what is read makes millions of objects that stay, and going through them takes seconds."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def read(directory: Path, table_size: str | None = None) -> Entry:
    """One run directory; `table_size`: of a paper's table that it is a smaller run of.

    Raises:
        StorageError: the run has not ended, is truncated, or another version wrote it.
    """
    run = archive.read(directory)
    status = run.summary["status"]
    if status not in archive.ENDED:
        how = f": {run.summary['error']}" if run.summary.get("error") else ""
        raise StorageError(f"{directory}: the run is {status}{how}. Give its command again to go on")
    settings = archive.settings(run)
    transductive = was_transductive(settings)
    try:
        choices = {group: _text(run.summary[group]) for group in GROUPS}
        score = SCORES[run.summary.get("score", "accuracy")].score_name  # older runs know no other
        seeds = tuple(_whole(seed) for seed in run.summary["seeds"])
        metrics = {_text(name): _values(metric, len(seeds)) for name, metric in run.summary["metrics"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StorageError(
            f"{directory / archive.SUMMARY}: is damaged, or another version wrote it ({_words(error)})"
        ) from None
    settings = {**{key: value for key, value in settings.items() if key not in ("seeds", ONE_WAY)}, **choices}
    settings |= {ONE_WAY: True} if transductive else {}
    settings |= {} if table_size is None else {TABLE_SIZE: table_size}
    environment = run.summary.get("environment")
    if isinstance(environment, dict) and "metacl_run" in environment:
        settings[VERSION] = str(environment["metacl_run"])
    identity = json.dumps([score, settings], sort_keys=True)
    return Entry(
        directory=directory,
        choices=choices,
        kind=kind_of(run.summary, {"protocol": {"_target_": settings.get("protocol._target_", "")}}),
        score=score,
        status=status,
        seeds=seeds,
        settings=settings,
        identity=identity,
        metrics=metrics,
    )


def _words(error: Exception) -> str:
    return f"no {error.args[0]}" if isinstance(error, KeyError) else str(error)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value} is no name")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"{value} is no seed")
    return value


def _values(metric: dict[str, Any], num: int) -> tuple[float, ...]:
    values = tuple(math.nan if value is None else float(value) for value in metric["values"])
    if len(values) != num:
        raise ValueError(f"{len(values)} values for {num} seeds")
    return values

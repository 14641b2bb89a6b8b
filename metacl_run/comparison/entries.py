"""Reads stored runs as entries of a comparison: seeds, settings, the value of every metric for every seed."""

from __future__ import annotations

import contextlib
import gc
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metacl_run.core.digest import hex_digest
from metacl_run.core.errors import StorageError
from metacl_run.scoring.scores import SCORES
from metacl_run.storage.optional_file import read_optional
from metacl_run.storage.paper_table_sizes import sizes_under
from metacl_run.storage.run_cost import RunCost, of_summary
from metacl_run.storage.run_files import CHOICES, OWN_CODE, SUMMARY
from metacl_run.storage.run_place import output_dir_of, run_name
from metacl_run.storage.stored_run import StoredRun

VERSION = "metacl_run"
"""The key of the version that computed a run: another version may give other numbers for the same settings."""
CODE, CODE_DIGITS = "code", 8
"""The key of a digest of the user's own code that computed a run: runs of one config may be of several versions of it."""
TABLE_SIZE = "table.size"
"""The key of the size of a run for a paper's table, where it is not the full one."""
DEBUG = "debug"
"""The key of a run that was shortened by debug=true."""
EVALUATION = "evaluation"
"""The key of a run that measured the learner of a finished one, whatever the settings were that it had learned with."""
EVALUATION_OF = "evaluation_of"
"""The key of the id of that finished run."""
NO_METRIC = ("protocol.log_every", "protocol.keep_states")
"""Settings of what a run records and keeps: they change no metric, so that runs that differ in them alone are of one
configuration."""
TRANSDUCTIVE_KEY = "protocol.transductive"
"""A setting of version 0.1, kept only where a run's scores are transductive; those of any other run are of each query alone."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A run that has ended.

    Attributes:
        kind: of the protocol.
        settings: by full keys, with the options of `CHOICES`, without `seeds` and `NO_METRIC`; JSON values.
        identity: the same for all runs that differ only in their seeds, in `NO_METRIC` and in what the run id ignores.
        unused: settings of the config that the run id ignores, by full keys: the value of one that another run switches on.
        metrics: by name, a value for each seed; NaN where it was not reached.
        cost: of its training.
        error: why it diverged.
    """

    directory: Path
    kind: str
    score: str
    status: str
    seeds: tuple[int, ...]
    settings: dict[str, Any]
    identity: str
    unused: dict[str, Any]
    metrics: dict[str, tuple[float, ...]]
    cost: RunCost
    error: str | None


def read_entries(directories: Iterable[Path]) -> tuple[list[Entry], list[str]]:
    """Returns what can be compared, and for every other run a message with its directory and the reason."""
    entries, refused = [], []
    with _without_garbage_collection():
        sizes: dict[Path, dict[str, str]] = {}
        for directory in directories:
            output_dir = output_dir_of(directory)
            if output_dir not in sizes:
                sizes[output_dir] = sizes_under(output_dir)
            try:
                entries.append(read_entry(directory, sizes[output_dir].get(run_name(directory))))
            except StorageError as error:
                refused.append(str(error))
    return entries, refused


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Summaries are millions of objects that stay; a collector that visits them takes seconds."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def read_entry(directory: Path, table_size: str | None = None) -> Entry:
    """Reads one run directory; `table_size`: the size of the paper's table that the run belongs to, where it is not full.

    Raises:
        StorageError: the run has not ended, is truncated, or another version wrote it.
    """
    run = StoredRun(directory)
    if not run.has_ended:
        error = f": {run.error.rstrip('.')}" if run.error else ""
        raise StorageError(f"{directory}: the run is {run.status}{error}. Give its command again to continue it")
    settings = {key: value for key, value in run.settings.items() if key not in ("seeds", DEBUG, *NO_METRIC, TRANSDUCTIVE_KEY)}
    try:
        settings |= {group: _text(run.summary[group]) for group in CHOICES}
        score = SCORES[run.summary["score"]].score_name
        seeds = tuple(_seed(seed) for seed in run.summary["seeds"])
        metrics = {_text(name): _values(metric, len(seeds)) for name, metric in run.summary["metrics"].items()}
        if run.summary["start_from"] is not None:  # the run, and not the place where it lies
            settings["start_from"] = _text(run.summary["start_from"]["run_id"])
        if run.summary["evaluation_of"] is not None:
            settings |= {EVALUATION: True, EVALUATION_OF: _text(run.summary["evaluation_of"]["run_id"])}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"no {error.args[0]}" if isinstance(error, KeyError) else str(error)
        raise StorageError(f"{directory / SUMMARY}: is damaged, or another version wrote it ({reason})") from None
    if run.summary["transductive"]:
        settings[TRANSDUCTIVE_KEY] = True
    if run.summary[DEBUG]:
        settings[DEBUG] = True
    if (code := read_optional(directory / OWN_CODE, Path.read_bytes)) is not None:
        settings[CODE] = hex_digest(code, CODE_DIGITS)
    if table_size is not None:
        settings[TABLE_SIZE] = table_size
    environment = run.summary["environment"]
    if isinstance(environment, dict) and "metacl_run" in environment:
        settings[VERSION] = str(environment["metacl_run"])
    return Entry(
        directory=directory,
        kind=run.kind,
        score=score,
        status=run.status,
        seeds=seeds,
        settings=settings,
        identity=json.dumps([score, settings], sort_keys=True),
        unused=_unused(run),
        metrics=metrics,
        cost=of_summary(run.summary),
        error=run.error,
    )


def _unused(run: StoredRun) -> dict[str, Any]:
    keys = (key.split(".", 1) for key in run.summary["without_effect"] if "." in key)
    groups = ((group, name, run.config.get(group)) for group, name in keys)
    return {f"{group}.{name}": node[name] for group, name, node in groups if isinstance(node, dict) and name in node}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value} is no name")
    return value


def _seed(value: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"{value} is no seed")
    return value


def _values(metric: dict[str, Any], num: int) -> tuple[float, ...]:
    values = tuple(math.nan if value is None else float(value) for value in metric["values"])
    if len(values) != num:
        raise ValueError(f"{len(values)} values for {num} seeds")
    return values

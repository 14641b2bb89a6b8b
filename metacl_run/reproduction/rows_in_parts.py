"""Rows of a table whose seeds were computed in several runs, each with some of them, as on several machines.

Such runs lie beside the row's own: of the same version and with equal settings but for the seeds. They fill the row where its
own run is not complete.

Shapes: R seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from metacl_run.config.compose import Composer
from metacl_run.config.load import run_id
from metacl_run.core.errors import StorageError, UserError
from metacl_run.storage.run_state import state
from metacl_run.storage.stored_run import StoredRun
from metacl_run.sweeps.job import Job


class RowParts(NamedTuple):
    """The runs that a row is put together from, by their seeds."""

    runs: Sequence[StoredRun] = ()
    missing: Sequence[int] = ()
    """Seeds of the row that none of them has."""

    @property
    def is_whole(self) -> bool:
        return bool(self.runs) and not self.missing


def parts_of(job: Job, user_folder: str | None) -> RowParts:
    """Finds the completed runs that have some of the seeds of a job, none of them twice; none where its own run is complete."""
    if state(job.directory) == "completed":
        return RowParts()
    beside = [path for path in sorted(job.directory.parent.glob("*")) if path != job.directory and state(path) == "completed"]
    if not beside:
        return RowParts()
    try:
        experiment = Composer(user_folder).experiment_of(job.overrides)
    except UserError:  # its data are missing, as the job itself will say
        return RowParts()
    parts, missing = [], set(experiment.seeds)
    for run in map(StoredRun, beside):
        try:
            whole, ignored = {**run.summary["config"], "seeds": experiment.seeds}, run.summary["without_effect"]
            fits = run_id(whole, ignored, experiment.data.source.fingerprint) == job.directory.name
        except (StorageError, KeyError, TypeError):
            continue
        if fits and missing.issuperset(run.seeds):
            parts.append(run)
            missing -= set(run.seeds)
    return RowParts(sorted(parts, key=lambda run: run.seeds), sorted(missing))


def joined(parts: Sequence[StoredRun]) -> dict[str, Any]:
    """Returns what a table reads of a summary, of all seeds of the runs; its cost is that of one seed of the first."""
    summaries = [run.summary for run in parts]
    first = summaries[0]
    whole: dict[str, Any] = {**first, "seeds": _chain([summary["seeds"] for summary in summaries])}
    whole["metrics"] = {
        name: {"values": _chain([summary["metrics"][name]["values"] for summary in summaries])}
        for name in first["metrics"]
        if all(name in summary["metrics"] for summary in summaries)
    }
    for key in ("meta_test", "by_step"):
        if first.get(key) is not None:
            whole[key] = {
                name: _chain([summary[key][name] for summary in summaries]) if _is_by_seed(value, first) else value
                for name, value in first[key].items()
            }
    seconds = [summary.get("timing", {}).get("train_s") for summary in summaries]
    whole["timing"] = {"train_s": None if None in seconds else sum(seconds)}
    return whole


def _is_by_seed(value: Any, summary: dict[str, Any]) -> bool:
    """Whether a value of a summary is [R, ...], by its form: a list of as many lists as there are seeds."""
    return isinstance(value, list) and len(value) == len(summary["seeds"]) and all(isinstance(part, list) for part in value)


def _chain(lists: Sequence[Sequence[Any]]) -> list[Any]:
    return [value for values in lists for value in values]

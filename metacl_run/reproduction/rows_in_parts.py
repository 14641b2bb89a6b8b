"""Rows of a table whose seeds were computed in several runs, each with some of them, as on several machines.

Such runs lie beside the row's own: of the same version, on the same data and with equal settings but for the seeds. They fill
the row where its own run is not complete.

Shapes: R seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from metacl_run.config.compose import Composer
from metacl_run.config.run_identity import run_id
from metacl_run.core.errors import DataError, StorageError
from metacl_run.storage.run_cost import of_summary
from metacl_run.storage.run_place import run_name
from metacl_run.storage.run_state import state
from metacl_run.storage.stored_run import ENDED, StoredRun
from metacl_run.sweeps.job import Job


class RowParts(NamedTuple):
    """The runs that a row is put together from."""

    where: Mapping[int, tuple[StoredRun, int]] = {}
    """By seed, in the order of the row, the run that has it and its place among that run's seeds."""
    missing: Sequence[int] = ()
    """Seeds of the row that no run has."""

    @property
    def runs(self) -> list[StoredRun]:
        return list({run.directory: run for run, _ in self.where.values()}.values())

    @property
    def names(self) -> list[str]:
        """data/algo/run id of each run."""
        return [run_name(run.directory) for run in self.runs]

    @property
    def diverged(self) -> list[int]:
        """Seeds of runs that diverged."""
        return [seed for seed, (run, _) in self.where.items() if run.status == "diverged"]

    @property
    def is_whole(self) -> bool:
        return bool(self.where) and not self.missing


class StoredParts:
    """Finds the runs that have some of the seeds of a job. Every run beside the jobs of a table is read once."""

    def __init__(self, composer: Composer) -> None:
        self._composer = composer
        self._beside: dict[Path, list[StoredRun]] = {}
        self._ids: dict[tuple[Path, str], str | None] = {}

    def of(self, job: Job) -> RowParts:
        """Returns them; none where the job has ended itself, or is to be computed anew. A seed that completed in one run and
        diverged with another of its run is taken from the first."""
        if job.rerun or state(job.directory) in ENDED:
            return RowParts()
        beside = [run for run in self._ended_runs(job.directory.parent) if run.directory != job.directory]
        if not beside:
            return RowParts()
        try:
            experiment = self._composer.experiment_of(job.overrides)
        except DataError:  # as the job itself will say
            return RowParts()
        fingerprint, start = experiment.data.source.fingerprint, experiment.starting_run
        own_id = _id_without_seeds(
            experiment.resolved, experiment.ignored_by_run_id, fingerprint, None if start is None else start.run_id
        )
        where: dict[int, tuple[StoredRun, int]] = {}
        for run in (run for run in beside if self._id_of(run, fingerprint) == own_id):
            for place, seed in enumerate(run.seeds):
                where.setdefault(seed, (run, place))
        known = {seed: where[seed] for seed in experiment.seeds if seed in where}
        return RowParts(known, [seed for seed in experiment.seeds if seed not in known])

    def _ended_runs(self, folder: Path) -> list[StoredRun]:
        """Those in a folder, completed ones first."""
        if folder not in self._beside:
            ended = [(status != "completed", path) for path in folder.glob("*") if (status := state(path)) in ENDED]
            self._beside[folder] = [StoredRun(path) for _, path in sorted(ended)]
        return self._beside[folder]

    def _id_of(self, run: StoredRun, fingerprint: str) -> str | None:
        """What `_id_without_seeds` gives for a stored run; None where its run id is not that of its settings and these data."""
        key = run.directory, fingerprint
        if key not in self._ids:
            self._ids[key] = _stored_id(run, fingerprint)
        return self._ids[key]


def _stored_id(run: StoredRun, fingerprint: str) -> str | None:
    try:
        config, ignored = run.summary["config"], run.summary["without_effect"]
        start = (run.summary.get("start_from") or {}).get("run_id")
        if run_id({**config, "start_from": start}, ignored, fingerprint) != run.directory.name:
            return None  # of another version, or of other files
        return _id_without_seeds(config, ignored, fingerprint, start)
    except (StorageError, KeyError, TypeError, AttributeError):
        return None


def _id_without_seeds(config: Mapping[str, Any], ignored: Sequence[str], fingerprint: str, start: str | None) -> str:
    """Equal for two runs whose settings are equal but for the seeds."""
    return run_id({**config, "seeds": [], "start_from": start}, ignored, fingerprint)


def joined(parts: RowParts) -> dict[str, Any]:
    """Returns what a table reads of a summary, of all seeds that there are. Units, examples and operations are those of a seed
    of the first run, seconds the mean over seeds."""
    places = [(run.summary, place) for run, place in parts.where.values()]
    first, _ = places[0]

    def of_seeds(value_of: Callable[[dict[str, Any]], Any]) -> list[Any]:
        return [value_of(summary)[place] for summary, place in places]

    whole: dict[str, Any] = {**first, "seeds": list(parts.where)}
    whole["metrics"] = {
        name: {"values": of_seeds(lambda summary: summary["metrics"][name]["values"])}  # noqa: B023
        for name in first["metrics"]
        if all(name in summary["metrics"] for summary, _ in places)
    }
    for key in ("meta_test", "by_step"):
        if first.get(key) is not None:
            whole[key] = {
                name: of_seeds(lambda summary: summary[key][name]) if _is_by_seed(value, first) else value  # noqa: B023
                for name, value in first[key].items()
            }
    for key in (name for name, value in first.items() if name.endswith("half_width") and value is not None):
        whole[key] = of_seeds(lambda summary: summary[key]) if all(summary.get(key) for summary, _ in places) else None  # noqa: B023
    seconds = [of_summary(summary).seconds for summary, _ in places]
    whole["timing"] = {"train_s": None if None in seconds else sum(filter(None, seconds))}
    return whole


def _is_by_seed(value: Any, summary: dict[str, Any]) -> bool:
    """Whether a value of a summary is [R, ...], by its form: a list of as many lists as there are seeds."""
    return isinstance(value, list) and len(value) == len(summary["seeds"]) and all(isinstance(part, list) for part in value)

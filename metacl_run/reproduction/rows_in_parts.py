"""Rows of a table whose seeds were computed in several runs, each with some of them, as on several machines.

Such runs lie beside the row's own: of the same version, on the same data and with equal settings but for the seeds. They fill
the row where its own run is not complete.

Shapes: R seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from metacl_run.config.compose import Composer
from metacl_run.config.load import Experiment, run_id
from metacl_run.core.errors import DataError, StorageError
from metacl_run.storage.run_cost import of_summary
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
        return ["/".join(run.directory.parts[-3:]) for run in self.runs]

    @property
    def diverged(self) -> list[int]:
        """Seeds of runs that diverged."""
        return [seed for seed, (run, _) in self.where.items() if run.status == "diverged"]

    @property
    def is_whole(self) -> bool:
        return bool(self.where) and not self.missing


def parts_of(job: Job, composer: Composer) -> RowParts:
    """Finds the runs that have some of the seeds of a job. None where it has ended itself, or is to be computed anew."""
    if job.rerun or state(job.directory) in (*ENDED, "failed"):
        return RowParts()
    ended = [path for path in sorted(job.directory.parent.glob("*")) if path != job.directory and state(path) in ENDED]
    if not ended:
        return RowParts()
    try:
        experiment = composer.experiment_of(job.overrides)
    except DataError:  # as the job itself will say
        return RowParts()
    where: dict[int, tuple[StoredRun, int]] = {}
    for run in (run for path in ended if _has_equal_settings(run := StoredRun(path), experiment)):
        for place, seed in enumerate(run.seeds):
            where.setdefault(seed, (run, place))
    known = {seed: where[seed] for seed in experiment.seeds if seed in where}
    return RowParts(known, [seed for seed in experiment.seeds if seed not in known])


def _has_equal_settings(run: StoredRun, experiment: Experiment) -> bool:
    """Whether a stored run is one of the experiment, but for its seeds: by the run ids with either seeds."""
    try:
        config, ignored = run.summary["config"], run.summary["without_effect"]
        fingerprint = experiment.data.source.fingerprint
        own, whole = (run_id({**config, "seeds": seeds}, ignored, fingerprint) for seeds in (run.seeds, experiment.seeds))
    except (StorageError, KeyError, TypeError):
        return False
    return own == run.directory.name and whole == experiment.run_id


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

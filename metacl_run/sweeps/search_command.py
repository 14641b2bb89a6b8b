"""`metacl-run -m search.trials=N ...`: Optuna (Akiba et al. 2019, arXiv 1907.10902) chooses settings by validation score.

Every trial is a run like any other, with protocol.eval_split=validation: what is tuned never receives test data. The study is a
journal in the search's folder, which is named by what is searched: the same command continues it. A trial gets its settings
from the study when it starts and reports to it when it ends, so that trials side by side know of each other; its score along
the way may end it early.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from metacl_run.config.components import fill
from metacl_run.config.compose import experiment_of
from metacl_run.config.overrides import Parts
from metacl_run.core.errors import ConfigError, StorageError, UserError
from metacl_run.core.exit_status import COMPLETED, DIVERGED, FAILED, INTERRUPTED
from metacl_run.core.files import remove_unfinished, storage_errors
from metacl_run.index.index_page import refresh_index
from metacl_run.storage.stored_run import StoredRun
from metacl_run.sweeps.grid_command import check_launcher, wants_status
from metacl_run.sweeps.job import NOT_STARTED, JobResult
from metacl_run.sweeps.launching import launch_jobs, launcher_failure
from metacl_run.sweeps.process import compute
from metacl_run.sweeps.search import Search, SearchSettings, prepare
from metacl_run.sweeps.search_results import write_results
from metacl_run.sweeps.sweep import wait_until_free


def run_search(nodes: Mapping[str, Any], parts: Parts, user_folder: str | None, *, multirun: bool) -> int:
    """Runs the trials that are missing, shows the best, and returns the exit status."""
    if not multirun:
        line = next(line for line in parts.command if line.lstrip("+").startswith("search"))
        raise ConfigError(f"{line}: goes with metacl-run -m")
    if importlib.util.find_spec("optuna") is None:
        raise ConfigError("search: needs Optuna: pip install 'metacl-run[search]'")
    check_launcher(parts.hydra)
    settings = fill(SearchSettings, nodes["search"], "search")
    search = prepare(settings, parts, user_folder)
    from metacl_run.sweeps.study import listed_trials, num_finished, open_study, requeue_interrupted

    points = search.count_points()
    trials = settings.trials if points is None else min(settings.trials, points)
    if trials < settings.trials:
        print(f"search.trials={settings.trials}: there are only {points} different settings to try")
    if wants_status(nodes):
        if not search.folder.is_dir():
            print(f"search in {search.folder}: not started")
        else:
            study = open_study(search)
            write_results(search, listed_trials(search, study))
        return COMPLETED
    results: list[JobResult] = []
    with _locked(search.folder):
        study = open_study(search)
        requeue_interrupted(study)
        missing = max(0, trials - num_finished(study))
        dimensions = "; ".join(dimension.text for dimension in search.dimensions)
        print(f"search in {search.folder}: {missing} trials to go; {dimensions}")
        if missing:
            results = _launch(search, missing, parts.hydra, user_folder)
        study = open_study(search)
        write_results(search, listed_trials(search, study))
        finished = num_finished(study)
    refresh_index(search.folder.parents[1])
    for error in dict.fromkeys(result.error for result in results if result.status == FAILED and result.error):
        print(f"a trial failed: {error}")
    if any(result.status in (INTERRUPTED, NOT_STARTED) for result in results):
        return INTERRUPTED
    if finished >= trials:
        return COMPLETED
    print(f"search.trials={settings.trials}: {finished} of {trials} trials have finished; {_why_missing(results)}")
    return FAILED


def _why_missing(results: Sequence[JobResult]) -> str:
    failed = sum(result.status == FAILED for result in results)
    if failed:
        return f"{failed} failed, and the same command tries again"
    return "no settings were left that no trial has had; ask for fewer trials, or give the settings more values"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keeps a second process out of the same search."""
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".lock", blocking=False)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise StorageError(
                f"{folder}: another process runs this search. hydra/launcher= runs trials side by side"
            ) from None
    try:
        remove_unfinished(folder)
        yield
    finally:
        lock.release()


def _launch(search: Search, trials: int, hydra: Sequence[str], user_folder: str | None) -> list[JobResult]:
    try:
        return launch_jobs(RunTrial(search, user_folder), range(trials), hydra, search.folder.parents[1], user_folder)
    except KeyboardInterrupt:
        return [JobResult(INTERRUPTED)]
    except UserError:
        raise
    except Exception as error:  # a launcher may raise anything; the study has the trials
        return [JobResult(FAILED, launcher_failure(error))]


@dataclass(frozen=True)
class RunTrial:
    """The function that a launcher calls for every trial; the trial that it runs is the next one of the study."""

    search: Search
    user_folder: str | None

    def __call__(self, job: int, shares_terminal: bool) -> JobResult:
        from metacl_run.sweeps.study import ask, tell
        from metacl_run.sweeps.watch import Watch

        proposal = ask(self.search)
        if proposal is None:
            return JobResult(COMPLETED)  # every point has been tried
        trial, overrides = proposal
        name = f"trial {trial.number + 1}"
        try:
            experiment = experiment_of(overrides, self.user_folder)
        except UserError as error:
            tell(trial, None, directory=None)
            return JobResult(FAILED, f"{name}: {error}")
        choices = " ".join(overrides[len(self.search.fixed) :])
        print(f"\n{name}: {choices}" if shares_terminal else f"{name} starts: {choices}", flush=True)
        directory = experiment.directory
        watch = Watch(self.search, trial, directory, experiment.protocol.count_units(experiment.algo, experiment.data))
        wait_until_free(directory)
        group = f"search-{self.search.folder.name}"
        result = compute(
            overrides, directory, self.user_folder, group=group, shares_terminal=shares_terminal, should_stop=watch
        )
        if result.sweep_stopped:
            return result  # the trial stays open, and continues when the search does
        value = self._value(directory) if result.status == COMPLETED else None
        state = tell(trial, value, directory=directory, pruned=watch.pruned, diverged=result.status == DIVERGED)
        score = "" if value is None else f": {self.search.metric} {value:.4g} on validation data"
        print(f"{name} {state}{score}", flush=True)
        if state in ("completed", "pruned", "diverged"):
            return JobResult(COMPLETED)
        return JobResult(FAILED, result.error or f"{name}: its run has no {self.search.metric}; see {directory}")

    def _value(self, directory: Path) -> float | None:
        """Returns the metric that a completed run is judged by; None where it has no such metric."""
        value: float | None = StoredRun(directory).summary["metrics"].get(self.search.metric, {}).get("mean")
        return value

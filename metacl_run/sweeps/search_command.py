"""`metacl-run -m search.trials=N ...`: Optuna (Akiba et al. 2019, arXiv 1907.10902) chooses settings by validation score.

Every trial is a run like any other, with protocol.eval_split=validation: what is tuned never receives test data. The study is a
journal in the search's folder, which is named by what is searched: the same command goes on with it. Each trial asks the study
when it starts and tells it when it ends, so that trials side by side know of each other; its score on the way may end it early.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock

from metacl_run.config.components import fill
from metacl_run.config.compose import experiment_of
from metacl_run.config.overrides import Parts
from metacl_run.core.errors import ConfigError, StorageError, UserError
from metacl_run.core.files import remove_unfinished, storage_errors
from metacl_run.storage.stored_run import StoredRun
from metacl_run.sweeps import sweep
from metacl_run.sweeps.grid_command import check_launcher, wants_status
from metacl_run.sweeps.job import COMPLETED, DIVERGED, FAILED, INTERRUPTED, NOT_STARTED, Ended
from metacl_run.sweeps.search import Search, SearchSettings, prepare


def run_search(asked: Mapping[str, Any], parts: Parts, user_folder: str | None, *, multirun: bool) -> int:
    """Runs the trials that are missing and shows the best; the exit status."""
    if not multirun:
        line = next(line for line in parts.command if line.lstrip("+").startswith("search"))
        raise ConfigError(f"{line}: goes with metacl-run -m")
    if importlib.util.find_spec("optuna") is None:
        raise ConfigError("search: needs Optuna: pip install 'metacl-run[search]'")
    check_launcher(parts.hydra)
    settings = fill(SearchSettings, asked["search"], "search")
    search = prepare(settings, parts, user_folder)
    from metacl_run.sweeps.study import finished, open_study, retry_unfinished, write_results

    points = search.count_points()
    trials = settings.trials if points is None else min(settings.trials, points)
    if trials < settings.trials:
        print(f"search.trials={settings.trials}: there are only {points} different settings to try")
    if wants_status(asked):
        if not search.folder.is_dir():
            print(f"search in {search.folder}: not started")
        else:
            write_results(search, open_study(search))
        return COMPLETED
    ended: list[Ended] = []
    with _alone(search.folder):
        study = open_study(search)
        retry_unfinished(study)
        left = trials - finished(study)
        print(f"search in {search.folder}: {max(0, left)} trials to go; " + "; ".join(each.text for each in search.dimensions))
        if left > 0:
            ended = _launch(search, left, parts.hydra, user_folder)
        done = write_results(search, open_study(search))
    for why in dict.fromkeys(each.error for each in ended if each.status == FAILED and each.error):
        print(f"a trial failed: {why}")
    if any(each.status in (INTERRUPTED, NOT_STARTED) for each in ended):
        return INTERRUPTED
    return COMPLETED if done >= trials else FAILED


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
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


def _launch(search: Search, trials: int, hydra: Sequence[str], user_folder: str | None) -> list[Ended]:
    trials_of = [list(search.fixed)] * trials
    try:
        return sweep.call_through(Trials(search, user_folder), trials_of, hydra, search.folder.parents[1], user_folder)
    except KeyboardInterrupt:
        return [Ended(INTERRUPTED)]
    except UserError:
        raise
    except Exception as error:  # a launcher may raise anything; the study says what its trials came to
        return [Ended(FAILED, f"the launcher failed: {type(error).__name__}: {error}")]


@dataclass
class Trials:
    """What the launcher calls for every trial."""

    search: Search
    user_folder: str | None
    shares_terminal: bool = True
    stopped: bool = field(default=False, init=False)

    def __call__(self, config: Any) -> Ended:
        from metacl_run.sweeps.study import Watch, ask, tell

        if self.stopped:
            return Ended(NOT_STARTED)
        asked = ask(self.search)
        if asked is None:
            return Ended(COMPLETED)  # another has had every point
        trial, overrides = asked
        name = f"trial {trial.number + 1}"
        try:
            experiment = experiment_of(overrides, self.user_folder)
        except UserError as error:
            tell(self.search, trial, None, directory=None)
            return Ended(FAILED, f"{name}: {error}")
        chosen = " ".join(overrides[len(self.search.fixed) :])
        print(f"\n{name}: {chosen}" if self.shares_terminal else f"{name} starts: {chosen}", flush=True)
        directory = experiment.directory
        units = experiment.protocol.count_units(experiment.algo, experiment.data)
        watch = Watch(self.search, trial, directory, units)
        sweep.wait_for(directory)
        shares = self.shares_terminal
        ended = sweep.compute(overrides, directory, self.user_folder, shares_terminal=shares, watch=watch)
        self.stopped = ended.sweep_stopped
        if ended.sweep_stopped:
            return ended  # it is left open, and goes on when the search does
        value = self._value(directory) if ended.status == COMPLETED else None
        state = tell(self.search, trial, value, directory=directory, pruned=watch.pruned, diverged=ended.status == DIVERGED)
        print(
            f"{name} {state}" + ("" if value is None else f": {self.search.metric} {value:.4g} on validation data"), flush=True
        )
        if state in ("completed", "pruned", "diverged"):
            return Ended(COMPLETED)
        return Ended(FAILED, ended.error or f"{name}: its run has no {self.search.metric}; see {directory}")

    def _value(self, directory: Path) -> float | None:
        """What a completed run is judged by; None where it has no such metric."""
        return StoredRun(directory).summary["metrics"].get(self.search.metric, {}).get("mean")

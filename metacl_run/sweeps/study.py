"""The study of a search: Optuna's, stored as a journal in the search's folder. The only module that knows Optuna."""

from __future__ import annotations

import itertools
import json
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from metacl_run.config.load import command_line
from metacl_run.core.files import write_text_atomically
from metacl_run.storage.run_files import METRICS
from metacl_run.sweeps.pruning import falls_behind, share_done
from metacl_run.sweeps.search import SPLIT, Search
from metacl_run.sweeps.space import Dimension

JOURNAL, RESULTS, NAME = "study.log", "search.json", "search"
ATTEMPTS = 10
"""Times that the sampler may propose settings that a trial has had."""
RUN, DIVERGED = "run", "diverged"
"""Attributes of a trial that has ended: the directory of its run, and whether it diverged."""
SHOWN = 10
"""Trials that are listed at the end, the best first."""
STATE_WORDS = {TrialState.COMPLETE: "completed", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
optuna.logging.set_verbosity(optuna.logging.WARNING)


def open_study(search: Search, draw: int = 0) -> optuna.Study:
    """Opens the study, or makes a new one.

    Args:
        search: the search.
        draw: the number of the sampler's random stream; every trial takes another one.
    """
    search.folder.mkdir(parents=True, exist_ok=True)
    seed = int(np.random.SeedSequence([search.seed, draw]).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = (
            optuna.samplers.RandomSampler(seed=seed)
            if search.sampler == "random"
            else optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        )
        return optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(search.folder / JOURNAL))),
            sampler=sampler,
            pruner=optuna.pruners.NopPruner(),  # `Watch` decides, by sweeps/pruning.py
            study_name=NAME,
            direction=search.direction,
            load_if_exists=True,
        )


def distribution(dimension: Dimension) -> BaseDistribution:
    if dimension.choices:
        return CategoricalDistribution(dimension.choices)
    assert dimension.low is not None
    assert dimension.high is not None
    if isinstance(dimension.low, int) and isinstance(dimension.high, int):
        return IntDistribution(dimension.low, dimension.high, log=dimension.log, step=int(dimension.step or 1))
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)


def ask(search: Search) -> tuple[Trial, list[str]] | None:
    """Returns the next trial and the overrides of its run; None where every point has been tried.

    Settings that another trial has had are not computed again: the sampler proposes others, and after `ATTEMPTS` proposals the
    first untried point is taken, or the next one where a worker beside this one has just taken it.
    """
    for attempt in itertools.count():
        study = open_study(search)
        trials = study.get_trials(deepcopy=False)
        if attempt >= ATTEMPTS:
            untried = next((point for point in _points(search) if not _is_tried(point, trials, search)), None)
            if untried is None:
                return None
            study.enqueue_trial(untried)
        study = open_study(search, draw=1 + len(trials))
        trial = study.ask({dimension.key: distribution(dimension) for dimension in search.dimensions})
        if not _is_tried(_written(search, trial.params), study.get_trials(deepcopy=False)[: trial.number], search):
            return trial, overrides_of(search, trial.params)
        study.tell(trial, state=TrialState.FAIL)
    raise AssertionError("a grid of points has an end")


def _is_tried(params: Mapping[str, Any], trials: Sequence[FrozenTrial], search: Search) -> bool:
    """Whether one of the trials has these settings, and has not failed with them; a trial that diverged would diverge again."""
    ended = (trial for trial in trials if trial.state != TrialState.FAIL or trial.user_attrs.get(DIVERGED))
    others = (trial.params for trial in ended if trial.params)
    return any(_written(search, other) == params for other in others)


def _written(search: Search, params: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a trial's settings as they are written on the command line: Optuna's steps are sums of floats.

    A trial that has just begun may not have all of them.
    """
    there = [dimension for dimension in search.dimensions if dimension.key in params]
    return {dimension.key: dimension.written(params[dimension.key]) for dimension in there}


def _points(search: Search) -> Iterator[dict[str, Any]]:
    """Yields every point of a search that has finitely many; none of another search."""
    if search.count_points() is not None:
        keys = [dimension.key for dimension in search.dimensions]
        for point in itertools.product(*(dimension.values() for dimension in search.dimensions)):
            yield dict(zip(keys, point, strict=True))


def overrides_of(search: Search, params: dict[str, Any]) -> list[str]:
    written = _written(search, params)
    return [*search.fixed, *(dimension.override(written[dimension.key]) for dimension in search.dimensions)]


def tell(trial: Trial, value: float | None, *, directory: Path | None, pruned: bool = False, diverged: bool = False) -> str:
    """Reports to the study how a trial ended, and returns it in a word."""
    if directory is not None:
        trial.set_user_attr(RUN, str(directory))
    trial.set_user_attr(DIVERGED, diverged)
    complete = value is not None and math.isfinite(value)
    state = TrialState.COMPLETE if complete else TrialState.PRUNED if pruned else TrialState.FAIL
    trial.study.tell(trial, value if complete else None, state=state)
    return "diverged" if diverged else STATE_WORDS[state]


def num_finished(study: optuna.Study) -> int:
    """Counts the trials that need no more work; a failed one does, and another makes up for it."""
    return sum(_word(trial) in ("completed", "pruned", "diverged") for trial in study.get_trials(deepcopy=False))


def requeue_interrupted(study: optuna.Study) -> None:
    """Puts the settings of interrupted trials first in the queue: new trials continue their runs."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        if trial.params:
            study.enqueue_trial(trial.params)


def _is_superseded(trial: FrozenTrial) -> bool:
    """Whether the trial never ended: it repeated earlier settings, or was interrupted and another continued its run."""
    return trial.state == TrialState.FAIL and DIVERGED not in trial.user_attrs


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
        ended = self._trial.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        return falls_behind(
            self._curve,
            [trial.intermediate_values for trial in ended],
            higher_is_better=self._search.direction == "maximize",
        )

    def _new_records(self) -> list[dict[str, Any]]:
        """Reads the whole lines that were not read before."""
        try:
            with open(self._path, "rb") as file:
                if file.seek(0, 2) < self._read:
                    self._read = 0  # the run went back to its checkpoint
                file.seek(self._read)
                whole = file.read().rpartition(b"\n")[0]
        except OSError:
            return []
        self._read += len(whole) + 1 if whole else 0
        return [json.loads(line) for line in whole.splitlines()]


def write_results(search: Search, study: optuna.Study) -> int:
    """Writes search.json, and prints the best trials and the command that tests the best; returns how many have finished."""
    trials = [trial for trial in study.get_trials(deepcopy=False) if not _is_superseded(trial)]
    sign = -1 if search.direction == "maximize" else 1
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    ranked = sorted(complete, key=lambda trial: (sign * float(trial.values[0]), trial.number))
    best = None
    if ranked:
        words = [line for line in overrides_of(search, ranked[0].params) if not line.startswith(f"{SPLIT}=")]
        best = {**_entry(search, ranked[0]), "command": command_line(words, search.user_folder)}
    content = {
        "metric": search.metric,
        "direction": search.direction,
        "split": "validation",
        "searched": [dimension.text for dimension in search.dimensions],
        "best": best,
        "trials": [_entry(search, trial) for trial in trials],
    }
    write_text_atomically(search.folder / RESULTS, json.dumps(content, indent=2) + "\n")
    _show(search, ranked, trials, best)
    return num_finished(study)


def _show(search: Search, ranked: list[FrozenTrial], trials: list[FrozenTrial], best: dict[str, Any] | None) -> None:
    words = [_word(trial) for trial in trials]
    counts = ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))
    table = Table(title=f"search: {counts or 'no trials'}", title_justify="left", box=None, pad_edge=False)
    table.add_column("trial", justify="right")
    table.add_column(f"{search.metric} (validation)", justify="right")
    for dimension in search.dimensions:
        table.add_column(dimension.key, justify="right")
    for trial in ranked[:SHOWN]:
        settings = (
            f"{value:.4g}" if isinstance(value, float) else str(value) for value in _written(search, trial.params).values()
        )
        table.add_row(str(trial.number + 1), f"{trial.value:.4g}", *(escape(text) for text in settings))
    terminal = Console()
    terminal.print(table)
    if best is not None:
        print(f"to measure the best on test data (an interval needs three seeds or more): {best['command']}")
    print(f"results   {search.folder / RESULTS}")


def _entry(search: Search, trial: FrozenTrial) -> dict[str, Any]:
    return {
        "trial": trial.number + 1,
        "state": _word(trial),
        "value": trial.value if trial.state == TrialState.COMPLETE else None,
        "params": _written(search, trial.params),
        "run": trial.user_attrs.get(RUN),
    }


def _word(trial: FrozenTrial) -> str:
    if trial.user_attrs.get(DIVERGED):
        return "diverged"
    return STATE_WORDS.get(trial.state, "waiting" if trial.state == TrialState.WAITING else "running")

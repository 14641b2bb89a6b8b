"""The study of a search: Optuna's, stored as a journal in the search's folder. The only module that knows Optuna."""

from __future__ import annotations

import itertools
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
from optuna.trial import FrozenTrial, TrialState
from optuna.trial import Trial as Trial

from metacl_run.sweeps.search import Search
from metacl_run.sweeps.search_results import TrialEntry
from metacl_run.sweeps.space import Dimension

JOURNAL, NAME = "study.log", "search"
ATTEMPTS = 10
"""Times that the sampler may propose settings that a trial has had."""
RUN, DIVERGED = "run", "diverged"
"""Attributes of a trial that has ended: the directory of its run, and whether it diverged."""
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
            pruner=optuna.pruners.NopPruner(),  # sweeps/watch.py decides
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
        written = _written(search, trial.params)
        if not _is_tried(written, study.get_trials(deepcopy=False)[: trial.number], search):
            return trial, search.overrides(written)
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


def curves_of_others(trial: Trial) -> list[dict[int, float]]:
    """Returns the scores along the way of the trials that have ended."""
    ended = trial.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return [other.intermediate_values for other in ended]


def listed_trials(search: Search, study: optuna.Study) -> list[TrialEntry]:
    """Returns all trials, in order, but those that another one has replaced."""
    return [
        TrialEntry(
            trial=trial.number + 1,
            state=_word(trial),
            value=trial.value if trial.state == TrialState.COMPLETE else None,
            params=_written(search, trial.params),
            run=trial.user_attrs.get(RUN),
        )
        for trial in study.get_trials(deepcopy=False)
        if not _is_superseded(trial)
    ]


def _is_superseded(trial: FrozenTrial) -> bool:
    """Whether the trial never ended: it repeated earlier settings, or was interrupted and another continued its run."""
    return trial.state == TrialState.FAIL and DIVERGED not in trial.user_attrs


def _word(trial: FrozenTrial) -> str:
    if trial.user_attrs.get(DIVERGED):
        return "diverged"
    return STATE_WORDS.get(trial.state, "waiting" if trial.state == TrialState.WAITING else "running")

"""A job of a sweep: one run, named by its overrides and its directory, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from metacl_run.config.compose import Composer
from metacl_run.config.load import Experiment
from metacl_run.core.bounds import FigureStyle
from metacl_run.core.errors import ConfigError, StorageError, UserError
from metacl_run.core.exit_status import COMPLETED, DIVERGED, FAILED, INTERRUPTED
from metacl_run.runtime.own_code import own_code
from metacl_run.storage.run_files import OWN_CODE
from metacl_run.storage.run_state import changed_modules

NOT_STARTED, BUSY = 131, 132
"""How a job ends, beside the exit statuses of a run: it was not started, or another process computes it."""
STATUS_WORDS = {
    COMPLETED: "completed",
    FAILED: "failed",
    DIVERGED: "diverged",
    INTERRUPTED: "interrupted",
    NOT_STARTED: "not started",
    BUSY: "running",
}


class Job(NamedTuple):
    """One run of a sweep."""

    overrides: tuple[str, ...]
    directory: Path
    rerun: bool = False
    """Whether it is computed although it has ended."""
    figures_style: FigureStyle = "screen"
    changed: tuple[str, ...] = ()
    """The modules of one's own code that were changed since its run began; none where it is to begin anew."""


class JobResult(NamedTuple):
    """How a job ended."""

    status: int
    error: str | None = None
    sweep_stopped: bool = False
    """Whether it ended because the sweep was asked to stop."""
    data_missing: bool = False
    """Whether its data are missing or broken; such a job leaves no run directory."""


def common_overrides(jobs: Sequence[Job]) -> list[str]:
    """Returns the overrides that all jobs have, where there are several jobs."""
    if len(jobs) < 2:
        return []
    return [line for line in jobs[0].overrides if all(line in job.overrides for job in jobs)]


def own_overrides(overrides: Sequence[str], common: Sequence[str]) -> str:
    """Returns the overrides of a job without the common ones, as one text."""
    return " ".join(line for line in overrides if line not in common)


def plan(jobs: Sequence[Sequence[str]], user_folder: str | None) -> list[Job]:
    """Composes and checks every job without running any; of jobs that are the same run only the first stays.

    Raises:
        UserError: every mistake of every job, in one message.
    """
    return distinct_runs([job for job in plan_tolerantly(jobs, user_folder) if isinstance(job, Job)])


def plan_tolerantly(
    jobs: Sequence[Sequence[str]], user_folder: str | None, tolerated: tuple[type[UserError], ...] = ()
) -> list[Job | UserError]:
    """Composes and checks every job. Returns in its place a job, or its error where that is tolerated.

    Raises:
        ConfigError: every other mistake of every job, in one message.
    """
    results: list[Job | UserError] = []
    mistakes = []
    composer = Composer(user_folder)
    for overrides in jobs:
        try:
            experiment = composer.experiment_of(overrides)
            changed = _changed_code(experiment)
            results.append(Job(tuple(overrides), experiment.directory, experiment.rerun, experiment.figures_style, changed))
        except tolerated as error:
            results.append(error)
        except UserError as error:
            mistakes.append((overrides, str(error)))
    if mistakes:
        raise ConfigError(list_mistakes(mistakes))
    return results


def _changed_code(experiment: Experiment) -> tuple[str, ...]:
    """The modules of the user's own code that were changed since the run began."""
    if experiment.rerun or not (experiment.directory / OWN_CODE).exists():
        return ()
    try:
        return tuple(changed_modules(experiment.directory, own_code(experiment.components)))
    except StorageError:  # as the run itself will say
        return ()


def distinct_runs(jobs: Sequence[Job]) -> list[Job]:
    """Returns the first job of every run."""
    first: dict[Path, Job] = {}
    for job in jobs:
        first.setdefault(job.directory, job)
    return list(first.values())


def list_mistakes(mistakes: Sequence[tuple[Sequence[str], str]]) -> str:
    """Returns one message for all pairs of overrides and what is wrong with them."""
    jobs: dict[str, list[str]] = {}
    for overrides, message in mistakes:
        jobs.setdefault(message, []).append("job " + " ".join(overrides))
    parts = ("\n".join([*names, *(f"  {line}" for line in message.splitlines())]) for message, names in jobs.items())
    return "\n".join(["nothing was started, since these jobs cannot run", *parts])

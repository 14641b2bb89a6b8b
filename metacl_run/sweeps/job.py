"""A job of a sweep: one run, named by its overrides and its directory, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from metacl_run.config.compose import experiment_of
from metacl_run.core.errors import ConfigError, UserError

COMPLETED, FAILED, DIVERGED, INTERRUPTED, NOT_STARTED, BUSY = 0, 1, 3, 130, 131, 132
"""How a job ends: the exit status of its run, or that it was not started, or that another process computes it."""
WORDS = {
    COMPLETED: "completed",
    FAILED: "failed",
    DIVERGED: "diverged",
    INTERRUPTED: "interrupted",
    NOT_STARTED: "not started",
    BUSY: "running",
}


class Job(NamedTuple):
    """One run that a sweep wants."""

    overrides: tuple[str, ...]
    directory: Path
    rerun: bool = False
    """Whether it is computed although it has ended."""


class Ended(NamedTuple):
    """How a job ended."""

    status: int
    error: str | None = None
    sweep_stopped: bool = False
    """Whether that was because the sweep was asked to stop."""
    data_missing: bool = False
    """Whether its data are missing or broken; such a job leaves no run directory."""


def shared(jobs: Sequence[Job]) -> list[str]:
    """The overrides that all jobs have, where there are several jobs."""
    if len(jobs) < 2:
        return []
    return [line for line in jobs[0].overrides if all(line in job.overrides for job in jobs)]


def own_text(job: Job, common: Sequence[str]) -> str:
    """A job by what tells it from others that have these overrides in common."""
    return " ".join(line for line in job.overrides if line not in common)


def plan(jobs: Sequence[Sequence[str]], user_folder: str | None) -> list[Job]:
    """Composes and checks every job without running any; of jobs that are the same run the first stands for all.

    Raises:
        UserError: every mistake of every job, in one message.
    """
    return distinct([each for each in plan_each(jobs, user_folder) if isinstance(each, Job)])


def plan_each(
    jobs: Sequence[Sequence[str]], user_folder: str | None, bearable: tuple[type[UserError], ...] = ()
) -> list[Job | UserError]:
    """Composes and checks every job: the job, or what is wrong with it where that is bearable.

    Raises:
        ConfigError: every other mistake of every job, in one message.
    """
    planned: list[Job | UserError] = []
    mistakes = []
    for overrides in jobs:
        try:
            built = experiment_of(overrides, user_folder)
            planned.append(Job(tuple(overrides), built.directory, built.rerun))
        except bearable as error:
            planned.append(error)
        except UserError as error:
            mistakes.append((overrides, str(error)))
    if mistakes:
        raise ConfigError(refusal_of_all(mistakes))
    return planned


def distinct(jobs: Sequence[Job]) -> list[Job]:
    """The first job of every run."""
    found: dict[Path, Job] = {}
    for job in jobs:
        found.setdefault(job.directory, job)
    return list(found.values())


def refusal_of_all(mistakes: Sequence[tuple[Sequence[str], str]]) -> str:
    """One message of (overrides, what is wrong with them)."""
    jobs: dict[str, list[str]] = {}
    for overrides, why in mistakes:
        jobs.setdefault(why, []).append("job " + " ".join(overrides))
    said = ("\n".join([*names, *(f"  {line}" for line in why.splitlines())]) for why, names in jobs.items())
    return "\n".join(["nothing was started, since these jobs cannot run", *said])

"""Runs the jobs of a sweep that have not ended, and reports the status of every job.

A sweep keeps no list of its own: the runs' directories say what is done. So the same command again starts what is missing, two
sweeps over the same runs share the work, and nothing is lost with the process that started them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from metacl_run.core.errors import StorageError, UserError
from metacl_run.core.exit_status import COMPLETED, DIVERGED, FAILED, INTERRUPTED
from metacl_run.reporting.report_stamp import is_drawn
from metacl_run.storage.lock import is_locked
from metacl_run.storage.run_state import state
from metacl_run.storage.stored_run import ENDED, StoredRun
from metacl_run.sweeps.job import BUSY, NOT_STARTED, STATUS_WORDS, Job, JobResult, common_overrides, own_overrides
from metacl_run.sweeps.launching import launch_jobs, launcher_failure
from metacl_run.sweeps.process import compute

STATUS_OF_STATE = {
    "completed": COMPLETED,
    "diverged": DIVERGED,
    "failed": FAILED,
    "interrupted": INTERRUPTED,
    "running": BUSY,
    "missing": NOT_STARTED,
}
POLL_S = 1.0
"""Seconds between two looks at a run that another process computes."""
STOP_TIMEOUT_S = 20.0
"""Seconds that jobs have to stop in when a sweep is interrupted."""


class Launcher(Protocol):
    """Starts jobs and waits for them.

    Args:
        jobs: the jobs.
        waits: whether a job whose run another process computes waits for it; otherwise it ends as BUSY.
    """

    def __call__(self, jobs: Sequence[Job], *, waits: bool) -> list[JobResult]: ...


def hydra_launcher(hydra: Sequence[str], output_dir: Path, user_folder: str | None, group: str) -> Launcher:
    """Returns the launcher that the overrides of Hydra's config choose; loggers file its jobs under `group`."""

    def launch(jobs: Sequence[Job], *, waits: bool) -> list[JobResult]:
        run_job = RunJob(len(jobs), common_overrides(jobs), user_folder, waits, group)
        numbered = [[number, job.overrides, str(job.directory)] for number, job in enumerate(jobs, 1)]
        return launch_jobs(run_job, numbered, hydra, output_dir, user_folder)

    return launch


@dataclass(frozen=True)
class RunJob:
    """The function that a launcher calls for every job of a sweep: its number from 1, its overrides, its directory."""

    num_jobs: int
    common: Sequence[str]
    """The overrides that all jobs have."""
    user_folder: str | None
    waits: bool
    group: str

    def __call__(self, numbered: tuple[int, Sequence[str], str], shares_terminal: bool) -> JobResult:
        number, overrides, directory = numbered[0], tuple(numbered[1]), Path(numbered[2])
        name = f"job {number} of {self.num_jobs}"
        text = own_overrides(overrides, self.common) or "(defaults)"
        if self.waits:
            wait_until_free(directory)
        print(f"\n{name}: {text}" if shares_terminal else f"{name} starts: {text}", flush=True)
        begun = time.monotonic()
        result = compute(overrides, directory, self.user_folder, group=self.group, shares_terminal=shares_terminal)
        if not shares_terminal:
            print(f"{name} {STATUS_WORDS[result.status]} after {time.monotonic() - begun:.0f} s: {text}", flush=True)
        return result


def run_jobs(jobs: Sequence[Job], launch: Launcher) -> list[JobResult]:
    """Runs the jobs that have not ended; returns how every job ended, in order. Runs of other processes come last."""
    results = {job: result for job in jobs if (result := earlier_result(job)) is not None}
    for waits in (False, True):
        unfinished = [job for job in jobs if job not in results or results[job].status == BUSY]
        if not unfinished:
            break
        try:
            results.update(zip(unfinished, launch(unfinished, waits=waits), strict=True))
        except KeyboardInterrupt:
            _wait_until_stopped(unfinished)
            results.update({job: _stored_result(job, None) for job in unfinished})
            break
        except UserError:
            raise
        except Exception as error:  # a launcher may raise anything; the directories of its jobs say how they ended
            message = launcher_failure(error)
            results.update({job: _stored_result(job, message) for job in unfinished})
            if all(results[job].status == NOT_STARTED for job in unfinished):
                results.update({job: JobResult(FAILED, message) for job in unfinished})
            break
        if any(result.sweep_stopped or result.status == NOT_STARTED for result in results.values()):
            break
    return [_with_stored_error(job, results.get(job, JobResult(NOT_STARTED))) for job in jobs]


def earlier_result(job: Job) -> JobResult | None:
    """Returns the result of a job that has ended and whose report is up to date; None for any other."""
    if job.rerun or (run_state := state(job.directory)) not in ENDED or not is_drawn(job.directory, job.figures_style):
        return None
    return JobResult(STATUS_OF_STATE[run_state])


def stored_results(jobs: Iterable[Job]) -> list[JobResult]:
    """Returns how far every job is, by its directory alone."""
    return [_with_stored_error(job, _stored_result(job, None)) for job in jobs]


def _stored_result(job: Job, error: str | None) -> JobResult:
    status = STATUS_OF_STATE[state(job.directory)]
    return JobResult(status, None if status == COMPLETED else error)


def _with_stored_error(job: Job, result: JobResult) -> JobResult:
    """Adds the error that the run's summary holds, where the result has none."""
    if result.error is not None or result.status not in (FAILED, DIVERGED):
        return result
    try:
        return result._replace(error=StoredRun(job.directory).error)
    except StorageError as error:
        return result._replace(error=str(error))


def _wait_until_stopped(jobs: Sequence[Job]) -> None:
    """Gives jobs that were asked to stop the time to save their checkpoints."""
    until = time.monotonic() + STOP_TIMEOUT_S
    while any(is_locked(job.directory) for job in jobs) and time.monotonic() < until:
        time.sleep(POLL_S)


def wait_until_free(directory: Path, sleep: Callable[[float], None] = time.sleep) -> None:
    """Waits until no process computes the run."""
    announced = False
    while is_locked(directory):
        if not announced:
            print(f"waiting for another process that computes {directory}", flush=True)
        announced = True
        sleep(POLL_S)


def exit_status(results: Sequence[JobResult]) -> int:
    """Returns 0 when every job completed; else 130 when some are still to be run, 3 when some diverged, 1 when some failed or a
    fault kept them from starting or finishing."""
    return max((_exit_status_of_one(result) for result in results), default=COMPLETED)


def _exit_status_of_one(result: JobResult) -> int:
    if result.status in (INTERRUPTED, NOT_STARTED):
        return INTERRUPTED if result.error is None else FAILED
    return FAILED if result.status == BUSY else result.status

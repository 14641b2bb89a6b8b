"""Starts the jobs of a sweep through a launcher of Hydra's, and says how far each is.

A sweep keeps no list of its own: what is done is what the runs' directories say. So the same command again starts what is
missing, two sweeps over the same runs share the work, and nothing is lost with the process that started them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from metacl_run.config.compose import job_number, launcher
from metacl_run.core.errors import StorageError, UserError
from metacl_run.core.files import storage_errors
from metacl_run.reporting.report_stamp import is_drawn
from metacl_run.storage.lock import is_locked
from metacl_run.storage.run_state import state
from metacl_run.storage.stored_run import ENDED, StoredRun
from metacl_run.sweeps import process
from metacl_run.sweeps.gpus import one_gpu
from metacl_run.sweeps.job import (
    BUSY,
    COMPLETED,
    DIVERGED,
    FAILED,
    INTERRUPTED,
    NOT_STARTED,
    WORDS,
    Ended,
    Job,
    own_text,
    shared,
)

STATUS_OF_STATE = {
    "completed": COMPLETED,
    "diverged": DIVERGED,
    "failed": FAILED,
    "interrupted": INTERRUPTED,
    "running": BUSY,
    "missing": NOT_STARTED,
}
LOOK_EVERY = 1.0
"""Seconds between two looks at a run that another process computes."""
PATIENCE = 20.0
"""Seconds that jobs have to stop in when a sweep is interrupted."""
BASIC = "BasicLauncher"
"""Hydra's own launcher: one job after another, on our terminal."""


@dataclass
class Task:
    """What a launcher calls for every job, here or in a process of its own; it has the config, of which it needs the number."""

    jobs: Sequence[Job]
    common: Sequence[str]
    """The overrides that all of them have."""
    user_folder: str | None
    waits: bool
    """Whether a job waits for another process that computes its run, or gives way."""
    shares_terminal: bool = field(default=True, init=False)
    stopped: bool = field(default=False, init=False)

    def __call__(self, config: Any) -> Ended:
        number = job_number()
        job = self.jobs[number]
        return self.run(job, f"job {number + 1} of {len(self.jobs)}", own_text(job, self.common) or "(defaults)")

    def run(self, job: Job, name: str, text: str) -> Ended:
        if self.stopped:
            return Ended(NOT_STARTED)
        if self.waits:
            wait_for(job.directory)
        print(f"\n{name}: {text}" if self.shares_terminal else f"{name} starts: {text}", flush=True)
        begun = time.monotonic()
        ended = compute(job.overrides, job.directory, self.user_folder, shares_terminal=self.shares_terminal)
        self.stopped = ended.sweep_stopped
        if not self.shares_terminal:
            print(f"{name} {WORDS[ended.status]} after {time.monotonic() - begun:.0f} s: {text}", flush=True)
        return ended


class Launch(Protocol):
    """Starts jobs and waits for them."""

    def __call__(self, jobs: Sequence[Job], *, waits: bool) -> list[Ended]: ...


def through_hydra(hydra: Sequence[str], output_dir: Path, user_folder: str | None) -> Launch:
    """Starts jobs through the launcher that the overrides of Hydra's config choose."""

    def launch(jobs: Sequence[Job], *, waits: bool) -> list[Ended]:
        task = Task(jobs, shared(jobs), user_folder, waits)
        return call_through(task, [list(job.overrides) for job in jobs], hydra, output_dir, user_folder)

    return launch


class Called(Protocol):
    """What a launcher calls for every job."""

    shares_terminal: bool

    def __call__(self, config: Any) -> Ended: ...


def call_through(
    task: Called, overrides: list[list[str]], hydra: Sequence[str], output_dir: Path, user_folder: str | None
) -> list[Ended]:
    """Calls the task for every job through the launcher that the overrides of Hydra's config choose.

    Raises:
        StorageError: nothing can be written to the output directory.
    """
    with launcher(task, hydra, output_dir, user_folder) as chosen:
        with storage_errors(output_dir):
            output_dir.mkdir(parents=True, exist_ok=True)
        task.shares_terminal = type(chosen).__name__ == BASIC
        return [each.return_value for each in chosen.launch(overrides, initial_job_idx=0)]


def compute(
    overrides: Sequence[str],
    directory: Path,
    user_folder: str | None,
    *,
    shares_terminal: bool,
    watch: Callable[[], bool] = lambda: False,
) -> Ended:
    """Runs a job in a process of its own, on one GPU; what it prints without our terminal goes into its directory."""
    output = None if shares_terminal else directory / process.OUTPUT
    with one_gpu() as environment:
        ended = process.run(overrides, user_folder, environment=environment, output=output, watch=watch)
    if ended.data_missing and output is not None:
        with contextlib.suppress(OSError):  # a run that had been begun before keeps its directory
            output.unlink()
            directory.rmdir()
    return ended


def run(jobs: Sequence[Job], launch: Launch) -> list[Ended]:
    """Runs what has not ended; how each job ended, in order."""
    ended = {job: ended_before(job) for job in jobs}
    for waits in (False, True):
        left = [job for job in jobs if ended[job] is None or ended[job].status == BUSY]  # type: ignore[union-attr]
        if not left:
            break
        try:
            ended.update(zip(left, launch(left, waits=waits), strict=True))
        except KeyboardInterrupt:
            _let_stop(left)
            ended.update({job: _as_stored(job, None) for job in left})
            break
        except UserError:
            raise
        except Exception as error:  # a launcher may raise anything; the jobs that it had started tell for themselves
            why = f"the launcher failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            ended.update({job: _as_stored(job, why) for job in left})
            if all(ended[job].status == NOT_STARTED for job in left):  # type: ignore[union-attr]
                ended.update({job: Ended(FAILED, why) for job in left})
            break
        if any(each is not None and (each.sweep_stopped or each.status == NOT_STARTED) for each in ended.values()):
            break
    return [_with_error(job, ended[job] or Ended(NOT_STARTED)) for job in jobs]


def ended_before(job: Job) -> Ended | None:
    """How a job that has nothing left to do ended; None for one that has, if only to draw its report again."""
    if job.rerun or (found := state(job.directory)) not in ENDED or not is_drawn(job.directory):
        return None
    return Ended(STATUS_OF_STATE[found])


def _as_stored(job: Job, why: str | None) -> Ended:
    found = STATUS_OF_STATE[state(job.directory)]
    return Ended(found, None if found == COMPLETED else why)


def stored(jobs: Iterable[Job]) -> list[Ended]:
    """How far each job is by its directory alone."""
    return [_with_error(job, Ended(STATUS_OF_STATE[state(job.directory)])) for job in jobs]


def _with_error(job: Job, ended: Ended) -> Ended:
    """The same with what the run's summary says of an error, where nobody said it before."""
    if ended.error is not None or ended.status not in (FAILED, DIVERGED):
        return ended
    try:
        return ended._replace(error=StoredRun(job.directory).error)
    except StorageError as problem:
        return ended._replace(error=str(problem))


def _let_stop(jobs: Sequence[Job]) -> None:
    """Gives jobs that were asked to stop the time to save their checkpoints."""
    until = time.monotonic() + PATIENCE
    while any(is_locked(job.directory) for job in jobs) and time.monotonic() < until:
        time.sleep(LOOK_EVERY)


def wait_for(directory: Path, sleep: Callable[[float], None] = time.sleep) -> None:
    """Waits until no process computes the run."""
    said = False
    while is_locked(directory):
        if not said:
            print(f"waiting for another process that computes {directory}", flush=True)
        said = True
        sleep(LOOK_EVERY)


def exit_status(ended: Sequence[Ended]) -> int:
    """0 when every job completed; else 130 when some are still to be run, 3 when some diverged, 1 when some failed, were not
    started or not finished because of a fault."""
    return max((_counts_as(each) for each in ended), default=COMPLETED)


def _counts_as(ended: Ended) -> int:
    if ended.status in (INTERRUPTED, NOT_STARTED):
        return INTERRUPTED if ended.error is None else FAILED
    return FAILED if ended.status == BUSY else ended.status

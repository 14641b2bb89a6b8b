"""Runs jobs through a launcher of Hydra's: one after another here, or side by side in processes or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from metacl_run.config.compose import job_number, launcher
from metacl_run.core.files import storage_errors
from metacl_run.sweeps.job import NOT_STARTED, JobResult

JobFunction: TypeAlias = Callable[[int, bool], JobResult]
"""Runs the job with a number, from 0. The flag says whether it shares our terminal. Launchers may pickle it."""
BASIC = "BasicLauncher"
"""Hydra's own launcher: one job after another, on our terminal."""


def launch_jobs(
    run_job: JobFunction, num_jobs: int, hydra: Sequence[str], output_dir: Path, user_folder: str | None
) -> list[JobResult]:
    """Calls `run_job` for every job, as `executor.map` does, through the launcher that the overrides of Hydra's config choose.

    Args:
        run_job: receives the number of a job.
        num_jobs: jobs, numbered from 0.
        hydra: overrides of Hydra's own config.
        output_dir: where the launcher keeps its files.
        user_folder: of --config-dir.

    Raises:
        StorageError: nothing can be written to the output directory.
    """
    task = _HydraTask(run_job)
    with launcher(task, hydra, output_dir, user_folder) as plugin:
        with storage_errors(output_dir):
            output_dir.mkdir(parents=True, exist_ok=True)
        task.shares_terminal = type(plugin).__name__ == BASIC
        no_overrides: list[list[str]] = [[] for _ in range(num_jobs)]  # a launcher composes them, which the jobs do themselves
        return [job.return_value for job in plugin.launch(no_overrides, initial_job_idx=0)]


def launcher_failure(error: Exception) -> str:
    """Returns the message for an exception of a launcher's own, of whatever type."""
    first_line = next(iter(str(error).splitlines()), "")
    return f"the launcher failed: {type(error).__name__}: {first_line}"


@dataclass
class _HydraTask:
    """The task function of Hydra's launchers. It ignores the config that they compose; the job has its own way to it."""

    run_job: JobFunction
    shares_terminal: bool = field(default=True, init=False)
    stopped: bool = field(default=False, init=False)

    def __call__(self, config: Any) -> JobResult:
        if self.stopped:
            return JobResult(NOT_STARTED)
        result = self.run_job(job_number(), self.shares_terminal)
        self.stopped = result.sweep_stopped
        return result

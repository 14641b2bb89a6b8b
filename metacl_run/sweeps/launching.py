"""Runs jobs through a launcher of Hydra's: one after another here, or side by side in processes or on a cluster."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from metacl_run.config.compose import launcher, quoted
from metacl_run.core.files import storage_errors
from metacl_run.sweeps.job import NOT_STARTED, JobResult

JobFunction: TypeAlias = Callable[[Any, bool], JobResult]
"""Runs one job, which any value of JSON describes. The flag says whether the job shares our terminal.

A launcher may pickle the function once for every job, so the function itself does not have the jobs."""
JOB = "metacl_run_job"
"""The key of a job's description in the config that a launcher composes for it."""
BASIC = "BasicLauncher"
"""Hydra's own launcher: one job after another, on our terminal."""


def launch_jobs(
    run_job: JobFunction, jobs: Sequence[Any], hydra: Sequence[str], output_dir: Path, user_folder: str | None
) -> list[JobResult]:
    """Calls `run_job` for every job, as `executor.map` does, through the launcher that the overrides of Hydra's config choose.

    Args:
        run_job: receives one of the jobs.
        jobs: values of JSON.
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
        overrides = [[f"+{JOB}={quoted(json.dumps(job))}"] for job in jobs]
        return [job.return_value for job in plugin.launch(overrides, initial_job_idx=0)]


def launcher_failure(error: Exception) -> str:
    """Returns the message for an exception of a launcher's own, of whatever type."""
    first_line = next(iter(str(error).splitlines()), "")
    return f"the launcher failed: {type(error).__name__}: {first_line}"


@dataclass
class _HydraTask:
    """The task function of Hydra's launchers. Of the config that they compose it reads the job, which has its own way to it."""

    run_job: JobFunction
    shares_terminal: bool = field(default=True, init=False)
    stopped: bool = field(default=False, init=False)

    def __call__(self, config: Any) -> JobResult:
        if self.stopped:
            return JobResult(NOT_STARTED)
        result = self.run_job(json.loads(config[JOB]), self.shares_terminal)
        self.stopped = result.sweep_stopped
        return result

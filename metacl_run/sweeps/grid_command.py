"""`metacl-run -m ...`: runs a sweep over a grid of settings, or says how far it is."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metacl_run.config.components import fill
from metacl_run.config.overrides import Parts, grid, swept_keys
from metacl_run.core.digest import hex_digest
from metacl_run.core.errors import ConfigError
from metacl_run.core.exit_status import COMPLETED
from metacl_run.index.index_page import INDEX, refresh_index
from metacl_run.storage.run_place import output_dir_of
from metacl_run.sweeps.job import Job, plan
from metacl_run.sweeps.listing import listing
from metacl_run.sweeps.sweep import exit_status, hydra_launcher, run_jobs, stored_results

LONGEST_NAME = 100
"""Letters of a sweep's name; W&B takes 128."""


@dataclass(frozen=True, kw_only=True)
class SweepSettings:
    """Node `sweep` of the config.

    Attributes:
        status: print the status of every job, and run nothing.
    """

    status: bool


def wants_status(nodes: Mapping[str, Any]) -> bool:
    settings: SweepSettings = fill(SweepSettings, nodes["sweep"], "sweep")
    return settings.status


def run_sweep(nodes: Mapping[str, Any], parts: Parts, user_folder: str | None, *, multirun: bool) -> int:
    """Runs the jobs that have not ended and returns the exit status; or prints the status of every job, and returns 0."""
    if not multirun and not wants_status(nodes):
        raise ConfigError(f"{parts.command[0]}: goes with metacl-run -m")
    check_launcher(parts.hydra)
    jobs = plan(grid(parts.run, multirun=multirun), user_folder)
    if wants_status(nodes):
        print(f"\n{listing(jobs, stored_results(jobs))}")
        return COMPLETED
    launcher = hydra_launcher(parts.hydra, output_dir(jobs), user_folder, sweep_name(swept_keys(parts.run), jobs))
    results = run_jobs(jobs, launcher)
    refresh_index(output_dir(jobs))
    print(f"\n{listing(jobs, results)}")
    index = output_dir(jobs) / INDEX
    if index.exists():
        print(f"all runs  {index}")
    if sum(result.status == COMPLETED for result in results) > 1:
        print(f"compare   metacl-report {shlex.quote(str(output_dir(jobs)))}")
    return exit_status(results)


def sweep_name(keys: Sequence[str], jobs: Sequence[Job]) -> str:
    """Returns a name for loggers, from the keys that are swept and the run ids: "sweep-algo-1a2b3c"."""
    ids = hex_digest(" ".join(sorted(job.directory.name for job in jobs)), 6)
    return "-".join(["sweep", *keys])[:LONGEST_NAME] + f"-{ids}"


def output_dir(jobs: Sequence[Job]) -> Path:
    """Returns the folder of the runs."""
    return output_dir_of(jobs[0].directory)


def check_launcher(hydra: Sequence[str]) -> None:
    """Refuses settings of Hydra's own that have no effect here: all but those of the launcher."""
    for line in hydra:
        if line.lstrip("+~").startswith(("hydra/sweeper", "hydra.sweeper")):
            raise ConfigError(
                f"{line}: metacl-run sweeps by itself; search.trials=N searches with Optuna, and hydra/launcher= chooses how "
                "jobs are started"
            )
        if not line.lstrip("+~").startswith(("hydra/launcher", "hydra.launcher")):
            raise ConfigError(f"{line}: has no effect; of Hydra's settings a sweep looks at hydra/launcher and hydra.launcher")

"""`metacl-run -m ...`: a sweep over a grid of settings, or how far it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metacl_run.config.components import fill
from metacl_run.config.overrides import Parts, grid
from metacl_run.core.errors import ConfigError
from metacl_run.sweeps import sweep
from metacl_run.sweeps.job import COMPLETED, Job, plan
from metacl_run.sweeps.listing import listing


@dataclass(frozen=True, kw_only=True)
class SweepSettings:
    """Node `sweep` of the config.

    Attributes:
        status: say how far each job is, and run nothing.
    """

    status: bool


def wants_status(asked: Mapping[str, Any]) -> bool:
    return fill(SweepSettings, asked["sweep"], "sweep").status


def run_sweep(asked: Mapping[str, Any], parts: Parts, user_folder: str | None, *, multirun: bool) -> int:
    """Runs the jobs that have not ended; the exit status. Or only says how far each is, and 0."""
    if not multirun and not wants_status(asked):
        raise ConfigError(f"{parts.command[0]}: goes with metacl-run -m")
    check_launcher(parts.hydra)
    planned = plan(grid(parts.run, multirun=multirun), user_folder)
    if wants_status(asked):
        print(f"\n{listing(planned, sweep.stored(planned))}")
        return COMPLETED
    launch = sweep.through_hydra(parts.hydra, output_dir(planned), user_folder)
    ended = sweep.run(planned, launch)
    print(f"\n{listing(planned, ended)}")
    return sweep.exit_status(ended)


def output_dir(planned: Sequence[Job]) -> Path:
    """The folder that the runs are kept in: above data, algorithm and run id."""
    return planned[0].directory.parents[2]


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

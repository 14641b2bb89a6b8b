"""`metacl-run table=<name>`: runs what is missing of a paper's table and writes ours beside the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from metacl_run.config.components import fill
from metacl_run.config.compose import Composer, compose_job
from metacl_run.config.overrides import Parts
from metacl_run.core.errors import ConfigError, DataError, UserError, nearest
from metacl_run.core.exit_status import COMPLETED, FAILED
from metacl_run.index.index_page import refresh_index
from metacl_run.reproduction import pages
from metacl_run.reproduction.paper_table import PaperRun, PaperTable, Size, parse
from metacl_run.reproduction.results import RunOfTable, results_of_table
from metacl_run.reproduction.rows_in_parts import StoredParts
from metacl_run.sweeps.grid_command import check_launcher, output_dir, wants_status
from metacl_run.sweeps.job import Job, distinct_runs, plan_tolerantly
from metacl_run.sweeps.listing import listing
from metacl_run.sweeps.sweep import exit_status, hydra_launcher, run_jobs, stored_results

ALLOWED_BESIDE = (
    *("data.root", "data.download", "figures", "gpu", "logger", "output_dir", "progress", "rerun", "seeds", "tags"),
)
"""Settings that may stand beside table=: they do not make it another experiment."""


@dataclass(frozen=True, kw_only=True)
class TableSettings:
    """The settings of node `table` that are not the table's own.

    Attributes:
        size: "paper": as published; "reduced": what a small machine can do; "smoke": whether everything works.
    """

    size: Size


def run_table(nodes: Mapping[str, Any], parts: Parts, user_folder: str | None, *, multirun: bool) -> int:
    """Plans the table, runs what is missing, writes its pages, and returns the exit status."""
    name = nodes["name"]
    if multirun:
        raise ConfigError(f"table={name}: is a sweep by itself; leave -m out")
    check_launcher(parts.hydra)
    _refuse_other_commands(name, parts.command)
    overrides = _overrides_of_all(name, parts)
    node = dict(nodes["table"])
    size = fill(TableSettings, {"size": node.pop("size")}, "table").size
    table = parse(node)
    plan = _plan(table, size, overrides, user_folder)
    jobs = distinct_runs([job for _, job in plan if isinstance(job, Job)])
    stored = StoredParts(Composer(user_folder))
    in_parts = {job.directory: stored.of(job) for job in jobs}
    open_jobs = [job for job in jobs if not in_parts[job.directory].is_whole]
    if wants_status(nodes):
        open_results = stored_results(open_jobs)
    else:
        but = "".join(f", but {line}" for line in overrides if line.startswith("seeds="))
        print(f"{table.title}, {pages.SIZE_WORDS[size]}{but}: {len(open_jobs)} runs", flush=True)
        group = name if size == "paper" else f"{name}-{size}"
        launcher = hydra_launcher(parts.hydra, output_dir(jobs), user_folder, group) if jobs else None
        open_results = run_jobs(open_jobs, launcher) if launcher is not None else []
    if open_jobs:
        print(f"\n{listing(open_jobs, open_results, 'table')}")
    else:
        print(f"\n{'every row is put together from other runs' if jobs else 'no run of this table can be started here'}")
    missing_data = {
        job.directory: result.error for job, result in zip(open_jobs, open_results, strict=True) if result.data_missing
    }
    runs = [
        RunOfTable(run, job.directory, missing_data.get(job.directory), in_parts[job.directory])
        if isinstance(job, Job)
        else RunOfTable(run, None, job)
        for run, job in plan
    ]
    results = results_of_table(table, runs, size)
    root = _output_dir(jobs, overrides)
    paths = pages.write(root / "tables" / name / size, name, table, results, size)
    refresh_index(root)
    pages.show(Console(), table, results, size)
    print("\nwritten  " + "\n         ".join(map(str, paths)))
    if wants_status(nodes):
        return COMPLETED
    return exit_status(open_results) or (FAILED if any(isinstance(job, str) for _, job in plan) else COMPLETED)


def _refuse_other_commands(name: str, command: Sequence[str]) -> None:
    """Raises ConfigError for what would change what the table says, or belongs to another command."""
    for line in command:
        key = line.partition("=")[0].lstrip("+")
        if key.startswith("search"):
            raise ConfigError(f"{line}: a search does not go with table={name}")
        if key.startswith("table.") and key != "table.size":
            raise ConfigError(
                f"{line}: is part of what table={name} says; to change it, copy its file into a folder of your own and give "
                "--config-dir"
            )


def _overrides_of_all(name: str, parts: Parts) -> list[str]:
    """Returns the overrides that go to every run. Raises ConfigError for one that would change the experiment."""
    for override in parts.run:
        key = override.key_or_group
        if not any(key == allowed or key.startswith(f"{allowed}.") for allowed in ALLOWED_BESIDE):
            raise ConfigError(
                f"{override.input_line}: would make table={name} another experiment; beside a table stand only "
                f"{', '.join(ALLOWED_BESIDE)}.{nearest(key, ALLOWED_BESIDE)} To change a table, copy its file into a folder of "
                "your own and give --config-dir"
            )
        if override.is_sweep_override():
            raise ConfigError(f"{override.input_line}: a table takes one value, not several")
    return [str(override.input_line) for override in parts.run]


def _plan(
    table: PaperTable, size: Size, overrides: Sequence[str], user_folder: str | None
) -> list[tuple[PaperRun, Job | str | None]]:
    """Returns every run with its job; or with the reason why its data are missing; or with None where it has no experiment.

    Raises:
        ConfigError: every mistake of every run, in one message.
    """
    own = {line.partition("=")[0].lstrip("+") for line in overrides}
    commands = [
        [*(line for line in table.overrides_of(run, size) if line.partition("=")[0] not in own), *overrides]
        for run in table.runs
        if run.experiment is not None
    ]
    jobs = iter(plan_tolerantly(commands, user_folder, tolerated=(DataError,)))
    plan = ((run, None if run.experiment is None else next(jobs)) for run in table.runs)
    return [(run, str(job) if isinstance(job, UserError) else job) for run, job in plan]


def _output_dir(jobs: Sequence[Job], overrides: Sequence[str]) -> Path:
    """Returns the folder of the runs, where there may be none."""
    if jobs:
        return output_dir(jobs)
    return Path(compose_job([line for line in overrides if line.startswith("output_dir")])[0].output_dir)

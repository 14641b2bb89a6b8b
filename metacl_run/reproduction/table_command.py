"""`metacl-run table=<name>`: runs what is missing of a paper's table and writes ours beside the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from metacl_run.config.components import fill
from metacl_run.config.overrides import Parts
from metacl_run.core.errors import ConfigError, DataError, UserError
from metacl_run.reproduction import pages
from metacl_run.reproduction.paper_table import PaperRun, PaperTable, Size, parse
from metacl_run.reproduction.results import RunOfTable, results
from metacl_run.sweeps import sweep
from metacl_run.sweeps.grid_command import check_launcher, output_dir, wants_status
from metacl_run.sweeps.job import COMPLETED, Job, distinct, plan_each
from metacl_run.sweeps.listing import listing

FREE = ("data.root", "data.download", "gpu", "logger", "output_dir", "progress", "rerun", "seeds")
"""Settings that may be given beside a table: they do not make it another experiment."""


@dataclass(frozen=True, kw_only=True)
class TableSettings:
    """What else node `table` of the config has.

    Attributes:
        size: "paper": as published; "reduced": what a small machine can do; "smoke": whether everything works.
    """

    size: Size


def run_table(asked: Mapping[str, Any], parts: Parts, user_folder: str | None, *, multirun: bool) -> int:
    """Plans, runs what is missing, writes the table; the exit status."""
    if multirun:
        raise ConfigError(f"table={asked['name']}: is a sweep by itself; leave -m out")
    check_launcher(parts.hydra)
    given = _given(asked["name"], parts)
    node = dict(asked["table"])
    size = fill(TableSettings, {"size": node.pop("size")}, "table").size
    table = parse(node)
    planned = _plan(table, size, given, user_folder)
    jobs = distinct([job for _, job in planned if isinstance(job, Job)])
    if wants_status(asked):
        ended = sweep.stored(jobs)
    else:
        print(f"{table.title}, {pages.SIZE_WORDS[size]}: {len(jobs)} runs", flush=True)
        ended = sweep.run(jobs, sweep.through_hydra(parts.hydra, output_dir(jobs), user_folder)) if jobs else []
    print(f"\n{listing(jobs, ended, 'table')}" if jobs else "\nno run of this table can be started here")
    refused = {job.directory: each.error for job, each in zip(jobs, ended, strict=True) if each.data_missing}
    stored = [
        RunOfTable(run, job.directory, refused.get(job.directory)) if isinstance(job, Job) else RunOfTable(run, None, job)
        for run, job in planned
    ]
    folder = _folder(jobs, given, asked["name"], size)
    found = results(table, stored, size)
    written = pages.write(folder, asked["name"], table, found, size)
    pages.show(Console(), table, found, size)
    print("\nwritten  " + "\n         ".join(map(str, written)))
    if wants_status(asked):
        return COMPLETED
    return sweep.exit_status(ended) or (1 if any(isinstance(job, str) for _, job in planned) else 0)


def _given(name: str, parts: Parts) -> list[str]:
    """The overrides that go to every run."""
    for override in parts.run:
        key = override.key_or_group
        if not any(key == free or key.startswith(f"{free}.") for free in FREE):
            raise ConfigError(
                f"{override.input_line}: would make table={name} another experiment; beside a table stand only "
                f"{', '.join(FREE)}. To change one, copy its file into a folder of your own and give --config-dir"
            )
        if override.is_sweep_override():
            raise ConfigError(f"{override.input_line}: a table takes one value, not several")
    return [str(override.input_line) for override in parts.run]


def _plan(
    table: PaperTable, size: Size, given: Sequence[str], user_folder: str | None
) -> list[tuple[PaperRun, Job | str | None]]:
    """Each run with its job; with why its data are missing; or with None where there is no experiment for it.

    Raises:
        ConfigError: every mistake of every run, in one message.
    """
    wanted = [[*table.overrides_of(run, size), *given] for run in table.runs if run.experiment is not None]
    found = iter(plan_each(wanted, user_folder, bearable=(DataError,)))
    planned = ((run, None if run.experiment is None else next(found)) for run in table.runs)
    return [(run, str(each) if isinstance(each, UserError) else each) for run, each in planned]


def _folder(jobs: Sequence[Job], given: Sequence[str], name: str, size: Size) -> Path:
    if jobs:
        return output_dir(jobs) / "tables" / name / size
    from metacl_run.config.compose import compose_job

    root = compose_job([line for line in given if line.startswith("output_dir")])[0].output_dir
    return Path(root) / "tables" / name / size

"""A run that has ended: draws its figures and its report, and shows it when the same command is given again."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path

import torch

from metacl_run import references
from metacl_run.core.bounds import FigureStyle
from metacl_run.core.errors import StorageError, UserError, described
from metacl_run.core.files import storage_errors
from metacl_run.listeners.console import Console
from metacl_run.reporting.report_stamp import is_drawn
from metacl_run.runtime.environment import describe
from metacl_run.runtime.stopping import stop_on_signal
from metacl_run.storage.run_files import FIGURES, PAPER, REPORT
from metacl_run.storage.run_state import changed_modules
from metacl_run.storage.store import RunStore
from metacl_run.storage.stored_run import StoredRun

log = logging.getLogger("metacl_run")


def show(
    directory: Path,
    console: Console,
    device: torch.device,
    own_code: Mapping[str, str],
    style: FigureStyle = "screen",
    store: RunStore | None = None,
) -> str:
    """Shows a run that has ended; draws its figures and its report first if one is missing. Returns the run's status.

    Args:
        directory: of the run.
        console: where it is shown.
        device: the one that the same command would compute on now.
        own_code: the source of the user's own components now, by module.
        style: of the figures; "paper": those for a paper are drawn too, if they are missing; "none": nothing is.
        store: of the directory, if its lock is taken.

    Raises:
        StorageError: its files do not go together.
    """
    run = StoredRun(directory)
    warn_of_another_environment(run, device, "rerun=true computes it here")
    if changed := changed_modules(directory, own_code):
        log.warning(
            "computed before %s was changed; rerun=true computes it with the code that there is now", ", ".join(changed)
        )
    try:
        if not is_drawn(directory, style):
            _draw_again(run, console, style, store)
        console.shown(run)
    except UserError:
        raise
    except Exception as error:
        raise StorageError(
            f"{directory}: its files do not go together ({type(error).__name__}: {error}). rerun=true computes it anew"
        ) from error
    return run.status


def draw(run: StoredRun, style: FigureStyle = "screen") -> None:
    """Draws the figures, then writes the references and the report, which contains both.

    Figures for a paper are drawn where the style is "paper", or where there are some, which would be out of date. With "none"
    nothing is drawn, and the report of an earlier computation is removed.
    """
    if style == "none":
        with storage_errors(run.directory):
            (run.directory / REPORT).unlink(missing_ok=True)
        return
    from metacl_run.reporting import figures, paper_figures, report  # they load matplotlib, which a run computes without

    with storage_errors(run.directory):
        figures.draw(run)
        if style == "paper" or (run.directory / FIGURES / PAPER).is_dir():
            paper_figures.draw(run)
        references.write(run)
        report.write(run)


def _draw_again(run: StoredRun, console: Console, style: FigureStyle, store: RunStore | None) -> None:
    console.say("the report or a figure of this run is missing or out of date: drawing them again")
    try:
        with contextlib.nullcontext() if store is not None else RunStore(run.directory), stop_on_signal(console.announce_stop):
            draw(run, style)
    except Exception as error:  # the results stand all the same, for instance in a folder without permission to write
        log.warning("not drawn again: %s", error if isinstance(error, UserError) else described(error))


def warn_of_another_environment(run: StoredRun, device: torch.device, advice: str) -> None:
    """Warns if the code or the machine have changed since; the run id follows the config alone."""
    then, now = run.summary["environment"] or {}, describe(device)
    changed = [key for key in ("git_commit", "torch", "device") if then.get(key) != now[key]]
    if changed:
        log.warning("computed with another %s than there is now; %s", ", ".join(changed), advice)

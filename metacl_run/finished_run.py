"""A run that has ended: its figures and report, drawn from its files, and how the same command shows it again."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import Any

import torch

from metacl_run.core.errors import StorageError, UserError
from metacl_run.core.files import storage_errors
from metacl_run.listeners.console import Console
from metacl_run.reporting import figures, report
from metacl_run.reporting.report_stamp import is_drawn
from metacl_run.runtime.environment import describe
from metacl_run.runtime.stopping import stop_on_signal
from metacl_run.storage.archive import read
from metacl_run.storage.store import RunStore

log = logging.getLogger("metacl_run")


def show(directory: Path, console: Console, device: torch.device, store: RunStore | None = None) -> str:
    """Shows a run that has ended; what is missing of its figures and its report is drawn again first. Returns its status.

    Args:
        device: what the same command would compute on now.
        store: of the directory, if its lock is held.

    Raises:
        StorageError: its files do not go together.
    """
    known = read(directory).summary
    warn_of_another_environment(known, device, "rerun=true computes it here")
    try:
        if not is_drawn(directory):
            _draw_again(directory, console, store)
        console.shown(known)
    except UserError:
        raise
    except Exception as error:
        raise StorageError(
            f"{directory}: its files do not go together ({type(error).__name__}: {error}). rerun=true computes it anew"
        ) from error
    return str(known["status"])


def draw(directory: Path) -> None:
    """Draws the figures, then writes the report, which has them in it."""
    with storage_errors(directory):
        figures.draw(directory)
        report.write(directory)


def _draw_again(directory: Path, console: Console, store: RunStore | None) -> None:
    """Says what it does, and where it cannot."""
    console.say("the report or a figure of this run is missing or out of date: drawing them again")
    try:
        with contextlib.nullcontext() if store is not None else RunStore(directory), stop_on_signal(console.announce_stop):
            draw(directory)
    except Exception as error:  # the results stand all the same, in a folder that may only be read for instance
        log.warning("not drawn again: %s", error if isinstance(error, UserError) else f"{type(error).__name__}: {error}")


def warn_of_another_environment(known: dict[str, Any], device: torch.device, advice: str) -> None:
    """The run id follows the config; the code and the machine may have changed since all the same."""
    then, now = known.get("environment") or {}, describe(device)
    changed = [key for key in ("git_commit", "torch", "device") if then.get(key) != now[key]]
    if changed:
        log.warning("computed with another %s than there is now; %s", ", ".join(changed), advice)

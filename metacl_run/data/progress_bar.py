"""A bar on a terminal for what takes time before a run begins."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

QUICK_SECONDS = 1.0
"""For what takes no longer than this, no bar is shown."""


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Shows a bar on a terminal's stderr from `QUICK_SECONDS` on, and removes it in the end; passes on how to advance it."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    number, begun = bar.add_task(what, total=total), time.monotonic()

    def advance(steps: int) -> None:
        bar.advance(number, steps)
        if time.monotonic() - begun > QUICK_SECONDS:
            bar.start()

    try:
        yield advance
    finally:
        bar.stop()

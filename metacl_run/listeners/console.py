"""The terminal: shows progress while a run lasts (a live panel, or plain lines), and the results at its end."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from importlib.util import find_spec
from typing import Any

from rich.console import Console as Terminal

from metacl_run.listeners.live import LiveDisplay
from metacl_run.listeners.plain_lines import PlainLines
from metacl_run.listeners.view import SHOWN, View
from metacl_run.storage.listener import Listener, RunInfo
from metacl_run.storage.stored_run import StoredRun

log = logging.getLogger("metacl_run")


class LastingTerminal(Terminal):
    """A terminal whose reader may close it (`metacl-run ... | head`). Rich would end the process; this one stops printing."""

    def on_broken_pipe(self) -> None:
        with contextlib.suppress(SystemExit):
            super().on_broken_pipe()


def _can_draw(terminal: Terminal) -> bool:
    """Whether a live display can be drawn: on a terminal, or in a notebook that has the widgets for it."""
    if terminal.is_jupyter:
        return find_spec("ipywidgets") is not None
    return terminal.is_terminal and not terminal.is_dumb_terminal and not terminal.options.ascii_only


class Console(Listener):
    """Shows the run according to `progress`; a context manager, which restores the terminal in any case.

    `auto` is `rich` on a terminal that can draw, else `plain`; `none` prints nothing before the results. The lines of `plain`
    are always logged, and so are in run.log with date and time. `plain` and `rich` say warnings before the first unit of work
    as well, at every start of the run.
    """

    def __init__(self, progress: str, terminal: Terminal | None = None) -> None:
        self._terminal = terminal or LastingTerminal()
        if progress == "auto":
            progress = "rich" if _can_draw(self._terminal) else "plain"
        self._progress = progress
        self._view: View | None = None
        self._lines: PlainLines | None = None
        self._live: LiveDisplay | None = None
        self._computing = False

    def __enter__(self) -> Console:
        return self

    def __exit__(self, *_: object) -> None:
        self._computing = False
        if self._live is not None:
            self._live.message = None
            self._live.stop()
            self._live = None

    def started(self, info: RunInfo) -> None:
        self._view, self._computing = View(info), True
        self._lines = PlainLines(self._view)
        for line in self._lines.start():
            self._line(line)
        for warning in info.warnings:
            self._warn(warning)
        if self._progress == "rich":
            self._live = LiveDisplay(self._terminal, self._view)
            self._live.start()

    def record(self, record: dict[str, Any]) -> None:
        assert self._lines is not None
        if record["kind"] in SHOWN and (line := self._lines.after(record)) is not None:
            self._line(line)

    def announce_stop(self) -> None:
        """Tells the user at once that the run will stop. A signal's handler calls it: a live display draws in a thread of its
        own, and where there is none the text bypasses Python's buffers."""
        work = "finishing the current work"
        if self._computing and self._view is not None:
            work = f"stopping after this {self._view.info.unit_name}"
        text = f"{work}; once more to stop at once"
        if self._live is not None:
            self._live.message = text
        else:
            with contextlib.suppress(OSError, ValueError):  # no stderr, or one that is no file
                os.write(sys.stderr.fileno(), f"{text}\n".encode())

    def finished(self, run: StoredRun) -> None:
        """Prints the results."""
        self.__exit__()
        _show(run, self._terminal)
        log.info("%s", run.status)
        if run.status == "interrupted":
            self.say(f"the same command goes on from {self._place(run.summary)}", style="bold")

    def shown(self, run: StoredRun) -> None:
        """Prints the results of a run that had ended before."""
        self.say(f"{run.summary['run_id']}: this run has been computed before; rerun=true repeats it")
        _show(run, self._terminal)

    def say(self, text: str, style: str = "dim") -> None:
        """Prints and logs a remark about the run."""
        log.info("%s", text)
        self._print(text, style)

    def _line(self, line: str) -> None:
        log.info("%s", line)
        if self._progress == "plain":
            self._print(f"{time.strftime('%H:%M:%S')}  {line}")

    def _warn(self, warning: str) -> None:
        """Prints what is known before the first unit of work, above a live display; the results have it again."""
        if self._progress != "none":
            stamp = f"{time.strftime('%H:%M:%S')}  " if self._progress == "plain" else ""
            self._print(f"{stamp}warning: {warning}", "yellow")

    def _print(self, text: str, style: str | None = None) -> None:
        """Prints a line; a letter that the terminal does not have becomes "?"."""
        encoding = self._terminal.encoding
        printable = text.encode(encoding, "replace").decode(encoding)
        self._terminal.print(printable, style=style, highlight=False, markup=False, soft_wrap=True)

    def _place(self, summary: dict[str, Any]) -> str:
        """Returns the position of an interrupted run: a unit of training, or a step of the meta-test."""
        view = self._view
        assert view is not None
        if view.meta_test is not None:
            return f"step {view.done}/{view.of} of the meta-test"
        return f"{view.info.unit_name} {summary['timing']['units']}/{view.total}"


def _show(run: StoredRun, terminal: Terminal) -> None:
    from metacl_run.reporting.terminal import show  # loads matplotlib, which a run computes without

    show(run, terminal)

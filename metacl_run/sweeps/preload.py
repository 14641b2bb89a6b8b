"""Imported once by the server that a sweep's jobs are forked from: all that jobs need and that takes seconds to import."""

from __future__ import annotations

import importlib
import signal

MODULES = ("metacl_run.experiment", "metacl_run.sweeps.process")


def _import_quietly() -> None:
    """Imports them. A Ctrl-C meanwhile is the sweep's, which ends this server; here it would print a traceback."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in MODULES:
        importlib.import_module(name)
    signal.signal(signal.SIGINT, before)


_import_quietly()

"""Where log messages of a run go: all of them into run.log, with times, and warnings to the terminal as well."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from metacl_run.core.files import storage_errors
from metacl_run.storage.run_files import LOG

log = logging.getLogger("metacl_run")


@contextlib.contextmanager
def to_terminal() -> Iterator[None]:
    """Prints warnings and errors while inside."""
    with _handled(_Terminal(logging.WARNING)):
        yield


@contextlib.contextmanager
def to_file(directory: Path) -> Iterator[None]:
    """Appends everything to run.log of a run's directory while inside."""
    with storage_errors(directory):
        handler = _File(directory / LOG, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    with _handled(handler):
        yield


@contextlib.contextmanager
def _handled(handler: logging.Handler) -> Iterator[None]:
    level, propagates = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()
        log.setLevel(level)
        log.propagate = propagates


class _File(logging.FileHandler):
    """A file that may be on a full disk: a line is then lost. What matters is written elsewhere, and fails with a message."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Prints no traceback."""

    def close(self) -> None:
        with contextlib.suppress(OSError):  # of what is not written yet
            super().close()


class _Terminal(logging.Handler):
    """Prints to the stderr of the moment: a live display replaces it by one that prints above its panel."""

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):  # its reader is gone
            print(self.format(record), file=sys.stderr, flush=True)

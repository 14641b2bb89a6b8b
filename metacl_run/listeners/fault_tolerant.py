"""Keeps a run alive when one of its listeners fails: the run's files have everything, so losing a listener loses nothing."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from metacl_run.core.errors import ConfigError, UserError, described
from metacl_run.storage.listener import Listener, Logger, RunInfo
from metacl_run.storage.stored_run import StoredRun

log = logging.getLogger(__name__)


def listeners_of(loggers: Mapping[str, Logger]) -> list[Listener]:
    """Returns the listeners of a run's loggers; one that fails leaves the others and the run alone.

    Raises:
        ConfigError: a component is no logger.
    """
    for name, logger in loggers.items():
        if not isinstance(logger, Logger):
            raise ConfigError(f"logger.{name}._target_: {type(logger).__name__} is not a Logger (metacl_run.storage.listener)")
    return [FaultTolerantListener(logger, name) for name, logger in loggers.items()]


class FaultTolerantListener(Listener):
    """Forwards everything to the listener of a logger until it fails once; then logs a warning and leaves it out.

    A UserError is raised. The listener of a logger raises it when it is made or started: nothing has been computed yet, and the
    setting can still be mended.
    """

    def __init__(self, logger: Logger, name: str) -> None:
        self._name = name
        self._listener: Listener | None = None
        with self._tolerance():
            self._listener = logger.listener()

    def started(self, info: RunInfo) -> None:
        with self._tolerance():
            if self._listener is not None:
                self._listener.started(info)

    def record(self, record: dict[str, Any]) -> None:
        with self._tolerance():
            if self._listener is not None:
                self._listener.record(record)

    def finished(self, run: StoredRun) -> None:
        with self._tolerance():
            if self._listener is not None:
                self._listener.finished(run)

    @contextlib.contextmanager
    def _tolerance(self) -> Iterator[None]:
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            self._listener = None
            log.warning(
                "logger=%s failed and is left out from here on; the run goes on and its files are complete. %s",
                self._name,
                described(error),
            )

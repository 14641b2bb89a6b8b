"""Keeps a run alive when one of its listeners fails: the run's files have everything, so losing a listener loses nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from metacl_run.storage.listener import Listener, RunInfo
from metacl_run.storage.stored_run import StoredRun

log = logging.getLogger(__name__)


class FaultTolerantListener(Listener):
    """Forwards everything to `listener` until it fails once after its start; then logs a warning and leaves it out.

    An exception of `started` is raised: nothing has been computed yet, and the setting can still be mended.
    """

    def __init__(self, listener: Listener, name: str) -> None:
        self._listener, self._name = listener, name
        self._lost = False

    def started(self, info: RunInfo) -> None:
        self._listener.started(info)

    def record(self, record: dict[str, Any]) -> None:
        self._attempt(lambda: self._listener.record(record))

    def finished(self, run: StoredRun) -> None:
        self._attempt(lambda: self._listener.finished(run))

    def _attempt(self, deliver: Callable[[], None]) -> None:
        if self._lost:
            return
        try:
            deliver()
        except Exception as error:
            self._lost = True
            log.warning(
                "%s failed and is left out from here on; the run goes on and its files are complete. %s: %s",
                self._name,
                type(error).__name__,
                error,
            )

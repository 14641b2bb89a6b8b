"""Stops a run on a signal: at the first SIGINT or SIGTERM after the current unit of work, at the second immediately."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def stop_on_signal(on_signal: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether a signal has come. A second signal raises KeyboardInterrupt.

    Args:
        on_signal: called by the handler at the first signal. It must not write to a buffered file, which may be in use.
    """
    signals: list[int] = []

    def handler(number: int, frame: Any) -> None:
        if signals:
            raise KeyboardInterrupt
        signals.append(number)
        on_signal()

    before = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, handler)
    except ValueError:  # not the main thread: its starter handles signals
        pass
    try:
        yield lambda: bool(signals)
    finally:
        for number, old in before.items():
            signal.signal(number, old)

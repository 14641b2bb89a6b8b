"""How a run is asked to stop: the first SIGINT or SIGTERM is heeded at the next unit of work, the second at once."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def stop_on_signal(heard: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether the run has been asked to stop; from a second signal on, KeyboardInterrupt.

    Args:
        heard: called at once, from within the handler: it must not write to a buffered file, which may be in use.
    """
    asked: list[int] = []

    def handler(number: int, frame: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        heard()

    before = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, handler)
    except ValueError:  # not the main thread: whoever started it handles signals
        pass
    try:
        yield lambda: bool(asked)
    finally:
        for number, old in before.items():
            signal.signal(number, old)

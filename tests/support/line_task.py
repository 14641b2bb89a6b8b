"""A point on a line that has to reach the middle: a simulator that can also do all that a simulator should not."""

from __future__ import annotations

import os
import signal
import sys
import time

import numpy as np

from metacl_run.simulators.simulated_task import SimulatedTask

REACH = 0.05


class LineTask(SimulatedTask):
    """A placement is where the point starts, in thousandths from the middle. Its name says what goes wrong."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._place = 0.0
        self._start = 0

    def begin(self, placement: int) -> np.ndarray:
        self._start, self._place = placement, (placement % 1000) / 1000
        print("what a simulator prints must not be taken for an answer")
        return self._observed()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, bool]:
        self._place += 0.1 * float(action[0])
        if self._name == "dies":
            print("no more tokens", file=sys.stderr, flush=True)
            os._exit(3)
        if self._name == "is_killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._name == "hangs":
            time.sleep(60)
        if self._name == "raises":
            raise ValueError("shape (11,) into shape (12,)")
        if self._name == "unstable" and abs(self._place) < 0.3:
            self._place = np.nan
        never = self._name == "never" or (self._name == "every_second" and self._start % 2)
        return self._observed(), abs(self._place) < REACH and not never

    def expert(self, observation: np.ndarray) -> np.ndarray:
        return np.clip(-10 * observation[:1], -1, 1)

    def _observed(self) -> np.ndarray:
        return np.array([self._place, float(self._start)])


def line_task(name: str) -> LineTask:
    return LineTask(name)

"""A hand in space that has to reach a goal, with observations and actions of Meta-World's shapes; no MuJoCo."""

from __future__ import annotations

import numpy as np

from metacl_run.simulators.simulated_task import SimulatedTask

STEP, REACH = 0.05, 0.03


class ArmTask(SimulatedTask):
    def __init__(self) -> None:
        self._hand, self._goal = np.zeros(3), np.zeros(3)

    def begin(self, placement: int) -> np.ndarray:
        rng = np.random.default_rng(placement)
        self._hand, self._goal = (rng.uniform((-0.3, 0.4, 0.0), (0.3, 0.8, 0.3)) for _ in range(2))
        return self._observed()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, bool]:
        assert (np.abs(action) <= 1).all()
        self._hand = self._hand + STEP * action[:3]
        return self._observed(), bool(np.linalg.norm(self._hand - self._goal) < REACH)

    def expert(self, observation: np.ndarray) -> np.ndarray:
        return np.clip([*(10 * (observation[36:] - observation[:3])), 0.5], -1, 1)

    def _observed(self) -> np.ndarray:
        now = np.concatenate([self._hand, [1.0], self._goal, [0.0, 0.0, 0.0, 1.0], np.zeros(7)])
        return np.concatenate([now, now, self._goal])


def arm_task(name: str) -> ArmTask:
    return ArmTask()


def no_task(name: str) -> ArmTask:
    raise AssertionError("nothing is to be made")

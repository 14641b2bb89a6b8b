"""A recorder of made-up dynamics of HalfCheetah's shapes; no MuJoCo."""

from __future__ import annotations

import numpy as np


class MadeUpRecorder:
    def record(self, dynamics: str, seed: int, steps: int) -> np.ndarray:
        rng = np.random.default_rng([seed, len(dynamics)])
        return np.concatenate([rng.normal(5, 2, (steps, 23)), np.full((steps, 1), seed % 97), rng.normal(0, 3, (steps, 16))], 1)


class NoRecorder:
    def __init__(self) -> None:
        raise AssertionError("nothing is to be made")


class MadeUpBodies:
    """Bodies that come to rest, pushed by the sum of an action times the length of the name of their dynamics."""

    def __init__(self) -> None:
        self._states: dict[int, tuple[str, np.ndarray]] = {}

    def begin(self, lanes: list[int], dynamics: np.ndarray, seeds: np.ndarray, actions: np.ndarray) -> np.ndarray:
        visited = []
        for lane, name, seed, own in zip(lanes, dynamics, seeds, actions, strict=True):
            self._states[lane] = name, np.full(17, float(seed % 97))
            visited.append([self._states[lane][1], *(self._moved(lane, action) for action in own)])
        return np.array(visited)

    def step(self, lanes: list[int], actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        states = [self._moved(lane, action) for lane, action in zip(lanes, actions, strict=True)]
        return np.array(states), np.array([state[0] for state in states])

    def _moved(self, lane: int, action: np.ndarray) -> np.ndarray:
        name, state = self._states[lane]
        self._states[lane] = name, 0.9 * state + len(name) * action.sum()
        return self._states[lane][1]

"""Bodies of HalfCheetah-v5 under changed dynamics that a controller moves step by step (extra `robot`).

The reward of a step is that of Gymnasium's HalfCheetah-v5, from a state s to s' by an action a,

    r = (x' - x) / dt - CONTROL_COST * sum of a_i^2,    x: how far the body has come, in metres; dt: 0.05 s.

How far it has come is not among the numbers of an observation. Its speed is: where a model predicts the reward, the number
`FORWARD` of s', the speed at the end of the step, stands for the mean speed over the step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from metacl_run.simulators.half_cheetah import check_stable, environment_of

FORWARD: Final = 8
"""Which number of an observation is the speed forward, in metres a second: the first of the speeds."""
CONTROL_COST: Final = 0.1


class HalfCheetahBodies:
    """Any number of bodies in one process, in lanes that the caller numbers.

    An action counts in the reward as it was commanded: a motor that does nothing costs what it would cost whole.
    """

    def __init__(self) -> None:
        self._bodies: dict[int, tuple[str, Any]] = {}
        """By lane: the dynamics, and the environment, which is used again where they are the same."""

    def begin(self, lanes: Sequence[int], dynamics: Sequence[str], seeds: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Puts a body at a random start in each of L lanes, and lets it take the first steps.

        Args:
            lanes, dynamics, seeds: [L]; a seed decides the start.
            actions: [L, M, ACTION] of the first steps.

        Returns:
            [L, M + 1, STATE] the states.
        """
        visited = []
        for lane, name, seed, own in zip(lanes, dynamics, seeds, actions, strict=True):
            if lane not in self._bodies or self._bodies[lane][0] != name:
                self._bodies[lane] = name, environment_of(name)
            start = self._bodies[lane][1].reset(seed=int(seed))[0]
            visited.append([start, *(self._step(lane, action)[0] for action in own)])
        return np.array(visited)

    def step(self, lanes: Sequence[int], actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Takes a step in each of L lanes by actions [L, ACTION]. Returns the states [L, STATE] and the rewards [L]."""
        steps = [self._step(lane, action) for lane, action in zip(lanes, actions, strict=True)]
        return np.array([state for state, _ in steps]), np.array([reward for _, reward in steps])

    def _step(self, lane: int, action: np.ndarray) -> tuple[np.ndarray, float]:
        name, environment = self._bodies[lane]
        state, *_, details = environment.step(action)
        check_stable(environment, state, name)
        return state, details["x_velocity"] - CONTROL_COST * float(np.square(action).sum())

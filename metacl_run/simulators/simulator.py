"""What a simulating process does when it is asked: demonstrations by experts, and steps of many episodes at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metacl_run.core.errors import SimulatorError
from metacl_run.simulators.simulated_task import MakeTask, SimulatedTask

MOST_BUILT = 48
"""Tasks that all processes together keep built, unless more are in use: one of Meta-World takes 20 to 45 MB, and .15 s to
build."""


class Begin(NamedTuple):
    """An episode that is to begin."""

    lane: int
    """A number of the caller's choice, which no other episode has at that time."""
    task: str
    placement: int


class _Episode(NamedTuple):
    task: str
    placement: int
    simulated: SimulatedTask


class Simulator:
    """Simulates episodes of any tasks, many of them at the same time.

    Args:
        make: builds a task.
        processes: in how many there is such a simulator.
    """

    def __init__(self, make: MakeTask, processes: int) -> None:
        self._make, self._most = make, max(1, MOST_BUILT // processes)
        self._idle: list[tuple[str, SimulatedTask]] = []
        self._lanes: dict[int, _Episode] = {}

    def demonstrate(self, task: str, placement: int, noise: np.ndarray, stay: int) -> np.ndarray | None:
        """Lets the expert act under noise.

        Args:
            task: its name.
            placement: where everything is at the start.
            noise: [H, A] is added to the expert's actions before they are carried out, at most H times.
            stay: steps that are recorded after the goal is reached.

        Returns:
            [n, D + A] observations, each with what the expert itself would do there; None: it did not reach the goal.
        """
        episode = _Episode(task, placement, self._take(task))
        observation, pairs, last = self._begin(episode), [], None
        for number, disturbance in enumerate(noise):
            action = episode.simulated.expert(observation)
            pairs.append(np.concatenate([observation, action]))
            observation, success = self._step(episode, np.clip(action + disturbance, -1, 1))
            if success and last is None:
                last = number + stay
            if number == last:
                break
        self._put_back(episode)
        return None if last is None else np.array(pairs)

    def advance(
        self, ended: Sequence[int], acting: Sequence[int], actions: np.ndarray, beginning: Sequence[Begin]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ends, steps and begins episodes.

        Args:
            ended: lanes whose episodes are over.
            acting: lanes that take a step.
            actions: [acting, A] their actions, in [-1, 1].
            beginning: new episodes.

        Returns:
            Observations [acting + beginning, D] and whether the goal is reached [acting + beginning] bool, in this order. After
            a step the simulator may be unstable: the observation is then not finite.
        """
        for lane in ended:
            self._put_back(self._lanes.pop(lane))
        results = [self._lanes[lane].simulated.step(action) for lane, action in zip(acting, actions, strict=True)]
        for lane, task, placement in beginning:
            self._lanes[lane] = _Episode(task, placement, self._take(task))
            results.append((self._begin(self._lanes[lane]), False))
        observations, successes = zip(*results, strict=True) if results else ((), ())
        return np.array(observations), np.array(successes, bool)

    def _take(self, task: str) -> SimulatedTask:
        """A built task that is not in use, or a new one."""
        for place, (name, simulated) in enumerate(self._idle):
            if name == task:
                del self._idle[place]
                return simulated
        self._make_room(1)
        return self._make(task)

    def _put_back(self, episode: _Episode) -> None:
        self._idle.append((episode.task, episode.simulated))
        self._make_room(0)

    def _make_room(self, more: int) -> None:
        """Drops what has been out of use longest, where there would be too many."""
        surplus = len(self._idle) + len(self._lanes) + more - self._most
        del self._idle[: max(0, surplus)]

    def _begin(self, episode: _Episode) -> np.ndarray:
        return _finite(episode, episode.simulated.begin(episode.placement))

    def _step(self, episode: _Episode, action: np.ndarray) -> tuple[np.ndarray, bool]:
        observation, success = episode.simulated.step(action)
        return _finite(episode, observation), success


def _finite(episode: _Episode, observation: np.ndarray) -> np.ndarray:
    if not np.isfinite(observation).all():
        raise SimulatorError(
            f"{episode.task}: the simulator became unstable: its numbers are not finite (NaN or infinite), in an episode from "
            f"placement {episode.placement}"
        )
    return observation

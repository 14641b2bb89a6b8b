"""Episodes in which a policy acts: the simulators step in several processes, the policy answers all of them at once.

Shapes: R seeds (replicates), K tasks, E episodes of a task, D numbers of an observation, A of an action, L lanes of a
replicate. A lane is a place in the policy's batch: it belongs to a task and goes through some of its episodes, one after
another. Lanes depend on R, K and E alone, and so does the shape of a batch: results do not depend on the number of processes.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from metacl_run.simulators.simulator import Begin
from metacl_run.simulators.workers import Workers

log = logging.getLogger("metacl_run")

NumpyPolicy: TypeAlias = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(observations [R, L, D], tasks [L] from 0) -> actions [R, L, A], of which what is beyond -1 or 1 is cut off."""
MOST_EPISODES: Final = 32
"""Episodes that go on at the same time, or R where there are more seeds: each needs a built simulator, of 20 to 45 MB."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of the episodes.

    Attributes:
        successes: [R, K, E] bool, whether the goal was reached at any step.
        visited: by (replicate, task, episode), the observations [D] from the start to the end; empty unless they are wanted.
        unstable: the episodes that ended since the simulator became unstable under the policy's actions.
    """

    successes: np.ndarray
    visited: dict[tuple[int, int, int], list[np.ndarray]]
    unstable: list[tuple[int, int, int]]


def roll_out(
    workers: Workers,
    tasks: Sequence[str],
    placements: np.ndarray,
    policy: NumpyPolicy,
    *,
    horizon: int,
    record: bool = False,
) -> Outcome:
    """Lets a policy act until it reaches the goal, for at most `horizon` steps. An action that is not finite ends an episode,
    and so does a simulator whose numbers are not finite after a step: neither has reached the goal.

    Args:
        workers: processes that hold a `Simulator`, all of them idle.
        tasks: [K] names.
        placements: [R, K, E] int, where everything is at the start.
        policy: of all replicates.
        horizon: most steps of an episode.
        record: whether `Outcome.visited` is wanted.

    Raises:
        SimulatorError: as `Workers.answer`.
    """
    replicates, _, episodes = placements.shape
    together = max(1, MOST_EPISODES // replicates)  # lanes of a replicate
    outcome = Outcome(successes=np.zeros(placements.shape, bool), visited=defaultdict(list), unstable=[])
    for first in range(0, len(tasks), together):
        block = range(first, min(first + together, len(tasks)))
        per_task = max(1, min(episodes, together // len(block)))
        columns = [(task, place) for task in block for place in range(per_task)]
        lanes = [
            _Lane((replicate, column), task, list(range(place, episodes, per_task)))
            for replicate in range(replicates)
            for column, (task, place) in enumerate(columns)
        ]
        rounds = _Rounds(workers, tasks, placements, lanes, horizon, outcome, record)
        rounds.run(policy, np.array([task for task, _ in columns]))
    if outcome.unstable:
        names = ", ".join(sorted({tasks[task] for _, task, _ in outcome.unstable}))
        log.warning(
            "the simulator became unstable under the policy's actions in %d of %d episodes (%s): they count as failures",
            len(outcome.unstable),
            placements.size,
            names,
        )
    return outcome


@dataclass
class _Lane:
    """A lane of one replicate."""

    place: tuple[int, int]
    """Replicate and column: its place in the policy's batch."""
    task: int
    to_come: list[int]
    """Episodes."""
    episode: int | None = None
    steps: int = 0
    worker: int = 0

    @property
    def key(self) -> tuple[int, int, int]:
        """Replicate, task and episode."""
        assert self.episode is not None
        return self.place[0], self.task, self.episode


class _Rounds:
    """Rounds of a step in every lane, until no lane has an episode left."""

    def __init__(
        self,
        workers: Workers,
        tasks: Sequence[str],
        placements: np.ndarray,
        lanes: list[_Lane],
        horizon: int,
        outcome: Outcome,
        record: bool,
    ) -> None:
        self._workers, self._tasks, self._placements, self._lanes = workers, tasks, placements, lanes
        self._horizon, self._outcome, self._record = horizon, outcome, record
        self._observations = np.zeros((0,))
        """[R, L, D]; of a lane without an episode, those of its last one."""
        self._ended: list[list[int]] = [[] for _ in range(workers.count)]
        """By worker, the lanes whose episodes are over, which it does not know yet."""

    def run(self, policy: NumpyPolicy, columns: np.ndarray) -> None:
        actions: dict[int, np.ndarray] = {}
        while (beginning := self._begin()) or actions:
            self._exchange(actions, beginning)
            actions = self._choose(policy, columns)
        self._exchange({}, {})

    def _begin(self) -> dict[int, Begin]:
        """The next episode of every lane that has none. A lane stays in its process, where its task is built."""
        beginning = {}
        for number, lane in enumerate(self._lanes):
            if lane.episode is None and lane.to_come:
                lane.episode, lane.steps, lane.worker = lane.to_come.pop(0), 0, number % self._workers.count
                beginning[number] = Begin(number, self._tasks[lane.task], int(self._placements[lane.key]))
        return beginning

    def _choose(self, policy: NumpyPolicy, columns: np.ndarray) -> dict[int, np.ndarray]:
        """The action of every lane with an episode; one that is not finite ends it."""
        live = [number for number, lane in enumerate(self._lanes) if lane.episode is not None]
        if not live:
            return {}
        chosen = policy(self._observations, columns)
        actions = {number: chosen[self._lanes[number].place] for number in live}
        for number in [number for number, action in actions.items() if not np.isfinite(action).all()]:
            self._end(number)
            del actions[number]
        return actions

    def _exchange(self, actions: dict[int, np.ndarray], beginning: dict[int, Begin]) -> None:
        """Sends the simulators what is new, and takes in what they answer."""
        sent = {}
        for worker, ended in enumerate(self._ended):
            acting, new = ([lane for lane in lanes if self._lanes[lane].worker == worker] for lanes in (actions, beginning))
            if acting or new or ended:
                pushes = np.array([actions[lane] for lane in acting]).clip(-1, 1)
                self._workers.ask(worker, "advance", ended, acting, pushes, [beginning[lane] for lane in new])
                sent[worker] = [*acting, *new]
        self._ended = [[] for _ in self._ended]
        for _ in sent:
            worker, (observations, successes) = self._workers.answer()
            for number, observation, success in zip(sent[worker], observations, successes, strict=True):
                self._take_in(number, observation, success=bool(success), stepped=number in actions)

    def _take_in(self, number: int, observation: np.ndarray, *, success: bool, stepped: bool) -> None:
        lane = self._lanes[number]
        if not self._observations.size:
            shape = (self._lanes[-1].place[0] + 1, self._lanes[-1].place[1] + 1, *observation.shape)
            self._observations = np.zeros(shape)
        if stepped and not np.isfinite(observation).all():
            self._outcome.unstable.append(lane.key)
            self._end(number)
            return
        self._observations[lane.place] = observation
        if self._record:
            self._outcome.visited[lane.key].append(observation)
        lane.steps += stepped
        if success:
            self._outcome.successes[lane.key] = True
        if success or lane.steps == self._horizon:
            self._end(number)

    def _end(self, number: int) -> None:
        lane = self._lanes[number]
        self._ended[lane.worker].append(number)
        lane.episode = None

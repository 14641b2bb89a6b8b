"""Where a learner that acts goes: paths of a few episodes of each task, right after it was learned and at the end of the run.

The episodes are the first placements of the first seed. Shapes: E episodes, N things, S steps.
"""

from __future__ import annotations

import time
from typing import Any

import torch

from metacl_run.data.streams.acting import NEVER, Acting, Paths
from metacl_run.protocols.insight import some_tasks
from metacl_run.protocols.online.acting_scorer import first_policy
from metacl_run.protocols.online.setup import StreamSetup
from metacl_run.protocols.progress import Progress
from metacl_run.protocols.recorder import EndRecorder

EPISODES = 5
"""Episodes of a task."""
MOST_TASKS = 20
"""The most tasks whose paths are recorded: of more, as many, spread evenly."""
MOST_POINTS = 61
"""The most points of a path that are written, spread evenly over its steps."""
KEPT = "paths_right_after_learning"
"""The key, in `TrainState.results`, of {task: {"points": [E, S, N, 2], "reached_at": [E]}}."""


class RolloutRecorder(EndRecorder):
    """Keeps the paths of a task right after it was learned, and writes them beside those at the end.

    Args:
        setup, progress: of the run.
        acting: where the learner acts.
    """

    def __init__(self, setup: StreamSetup, progress: Progress, acting: Acting) -> None:
        self._setup, self._progress, self._acting = setup, progress, acting
        self._tasks = some_tasks(setup.num_tasks, MOST_TASKS)

    def record(self, row: int | None) -> None:
        if not row or row - 1 not in self._tasks:
            return
        begun, state = time.monotonic(), self._progress.state
        paths = self._paths(row - 1)
        state.results.setdefault(KEPT, {})[row - 1] = {"points": paths.points, "reached_at": paths.reached_at}
        state.evaluate_s += time.monotonic() - begun

    def write(self) -> None:
        begun, state = time.monotonic(), self._progress.state
        tasks = []
        for task in self._tasks:
            now, then = self._paths(task), state.results[KEPT][task]
            tasks.append(
                {
                    "task": task,
                    "things": list(now.things),
                    "right_after_learning": _written(then["points"], then["reached_at"]),
                    "at_the_end": _written(now.points, now.reached_at),
                }
            )
        self._progress.context.store.write_rollouts({"seed": int(self._setup.seeds[0]), "tasks": tasks})
        state.evaluate_s += time.monotonic() - begun

    def _paths(self, task: int) -> Paths:
        with torch.no_grad():
            paths = self._acting.paths(task, first_policy(self._setup, self._progress.state.learner), EPISODES)
        steps, reached_at = paths.points.shape[1], paths.reached_at.cpu()
        chosen = torch.linspace(0, steps - 1, min(steps, MOST_POINTS)).round().long()
        # Of the points that are kept, the first one at which the goal has been reached.
        place = torch.where(reached_at == NEVER, NEVER, torch.searchsorted(chosen, reached_at))
        return Paths(things=paths.things, points=paths.points[:, chosen.to(paths.points.device)].cpu(), reached_at=place)


def _written(points: Any, reached_at: Any) -> dict[str, Any]:
    """The paths [E, S, N, 2] with three decimals, ready for JSON; a number that is not finite becomes null."""
    successes = (reached_at != NEVER).tolist()
    return {"points": points.double().numpy().round(3).tolist(), "successes": successes, "reached_at": reached_at.tolist()}

"""Goals for the hand of the planar world, under dynamics that change from task to task. Synthetic; nothing is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
from annotated_types import Ge, Le, MinLen

from metacl_run.core.bounds import NonNegative
from metacl_run.core.errors import name_checks, require_all
from metacl_run.data.sources.source import Source
from metacl_run.simulators.planar_reach import PUSHES, rollout_size
from metacl_run.simulators.planar_world import DYNAMICS, dynamics_of

CHANGES: Final[Mapping[str, Mapping[str, float]]] = {
    "usual": {},
    "mirrored": {"motor_x": -1.0},
    "reversed": {"motor_x": -1.0, "motor_y": -1.0},
    "turned": {"turn": np.pi / 2},
    "aslant": {"turn": np.pi / 4},
    "tilted": {"drift_x": 0.3, "drift_y": -0.3},
    "heavy": {"mass": 5.0},
    "weak": {"motor_x": 0.5, "motor_y": 0.5},
}
"""What is changed about the usual dynamics of the world."""


@dataclass(frozen=True, kw_only=True)
class ReachTasks(Source):
    """Rollouts towards a goal that the policy does not see."""

    dynamics: Annotated[list[str], MinLen(1)]
    """Some of usual, mirrored, reversed, turned, aslant, tilted, heavy and weak; one task for each, in the given order."""
    horizon: Annotated[int, Ge(1), Le(1000)]
    """Steps of a rollout, each of 0.05 seconds."""
    noise: NonNegative
    """Standard deviation of the noise that is added to every push."""
    goal_span: Annotated[float, Ge(0), Le(1)]
    """Goals lie in the square from -goal_span to goal_span; the table reaches from -1 to 1."""
    start_span: Annotated[float, Ge(0), Le(1)]
    """The hand starts in the square from -start_span to start_span."""

    def __post_init__(self) -> None:
        require_all(*name_checks("dynamics", self.dynamics, list(CHANGES)))

    @property
    def example_shape(self) -> tuple[int, ...]:
        return (rollout_size(self.horizon),)

    def draw(self, tasks: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draws a goal for every entry of `tasks` [E], and rollouts towards it.

        Returns:
            Rollouts [E, count, *example_shape] as `planar_reach.rollout` takes them, and goals [E, count, 2], float32.
        """
        every = np.stack([dynamics_of(**CHANGES[name]).numpy() for name in self.dynamics])
        goals = self.goal_span * rng.uniform(-1, 1, (len(tasks), 1, 2)).repeat(count, 1)
        starts = self.start_span * rng.uniform(-1, 1, (len(tasks), count, 2))
        noise = self.noise * rng.standard_normal((len(tasks), count, PUSHES * self.horizon))
        dynamics = np.broadcast_to(every[tasks][:, None], (len(tasks), count, DYNAMICS))
        return np.concatenate([starts, dynamics, noise], -1).astype(np.float32), goals.astype(np.float32)

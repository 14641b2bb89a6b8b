"""Dynamics that recur: the stream of a source of transitions for protocol `osaka`.

A domain is a family of dynamics, and a task is one of its dynamics. A batch is a window of consecutive transitions of one
rollout. The same dynamics recur, so that a learner can gain from remembering them (Nagabandi et al. 2019, MOLe, arXiv
1812.07671). An input is a state and an action, a target the change of the state; both are standardised by the mean and
deviation of the rollouts that are not kept for validation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metacl_run.core.bounds import Count, Examples
from metacl_run.core.errors import require
from metacl_run.core.randomness import Purpose, generator
from metacl_run.core.transfer import upload
from metacl_run.core.types import Episode
from metacl_run.data.sources.transition_source import TransitionSource
from metacl_run.data.streams.dynamics_windows import DynamicsWindowPool, scales
from metacl_run.data.streams.recurring_stream import RecurringPool, RecurringStream, StreamPart, Visits, visited_task
from metacl_run.scoring.objectives import REGRESSION, Objective


@dataclass(frozen=True, kw_only=True)
class RecurringDynamics(RecurringStream):
    """A task is one of the dynamics of a family."""

    source: TransitionSource
    shots: Examples
    """Transitions of a batch, and of the support set of an episode of pre-training."""
    queries: Examples
    """Transitions after these in an episode of pre-training, to predict."""
    recurring: Count
    """Dynamics of each family in the stream, chosen by the seed; pre-training sees the others of the first family."""
    held_out: Count
    """Rollouts under each of the dynamics kept for validation streams."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.source.example_shape

    @property
    def outputs(self) -> int:
        return self.source.state_size

    @property
    def batch_size(self) -> int:
        return self.shots

    @property
    def objective(self) -> Objective:
        return REGRESSION

    def domains(self) -> list[str]:
        return list(self.source.count_dynamics())

    def check(self, *, pretrains: bool, part: StreamPart) -> None:
        self.source.check()
        self.chances()
        (name, first), fewest = next(iter(self.source.count_dynamics().items())), min(self.source.count_dynamics().values())
        rollouts, steps = self.source.count_rollouts()
        most = f"must be below {first}, the dynamics of {name}, which pre-training sees the others of"
        require(not pretrains or self.recurring < first, "recurring", self.recurring, most)
        require(self.recurring <= fewest, "recurring", self.recurring, f"must be at most {fewest}, the dynamics of a family")
        require(
            self.held_out < rollouts, "held_out", self.held_out, f"must be below {rollouts}, the rollouts under each dynamics"
        )
        length = self.shots + (self.queries if pretrains else 0)
        beside = f" with queries={self.queries}" if pretrains else ""
        require(length <= steps, "shots", self.shots, f"must be at most {steps}{beside}, the steps of a rollout")

    def load(self, seeds: Sequence[int], *, steps: int, part: StreamPart) -> RecurringDynamicsPool:
        rollouts, families = self.source.read(), self.source.count_dynamics()
        visits = Visits.of_seeds(seeds, steps, stay=self.stay, shares=self.chances(), part=part)
        x = torch.from_numpy(np.concatenate([rollouts.states[:, :, :-1], rollouts.actions], -1)).flatten(0, 1)
        y = torch.from_numpy(np.diff(rollouts.states, axis=2)).flatten(0, 1)
        per_dynamics, _ = self.source.count_rollouts()
        learned = np.arange(per_dynamics - self.held_out)
        of_stream = learned if part == "test" else np.arange(per_dynamics - self.held_out, per_dynamics)
        every = np.arange(sum(families.values()))[:, None] * per_dynamics + learned
        orders = [self._orders(seed, families) for seed in seeds]
        of_visits = [self._dynamics(seed, visits, place, orders[place], part) for place, seed in enumerate(seeds)]
        visits, dynamics = visits.of_tasks(of_visits)
        pretraining = [self._rows(order[0][self.recurring :], per_dynamics, learned) for order in orders]
        return RecurringDynamicsPool(
            seeds=list(seeds),
            domain_names=list(families),
            visits=visits,
            shots=self.shots,
            queries=self.queries,
            dynamics=dynamics,
            rollouts=np.arange(sum(families.values()))[:, None] * per_dynamics + of_stream,
            windows=DynamicsWindowPool(
                task_names=[["pre-training"]] * len(seeds),
                x=x,
                y=y,
                tables={"train": [[rows] for rows in pretraining]},
                scales=(scales(x, [every.reshape(-1)] * len(seeds)), scales(y, [every.reshape(-1)] * len(seeds))),
            ),
        )

    def _orders(self, seed: int, families: dict[str, int]) -> list[np.ndarray]:
        """[D] the dynamics of every family in an order of the seed's, of which the stream has the first ones."""
        rng, firsts = generator(Purpose.ASSIGN, seed), np.cumsum([0, *families.values()])
        return [first + rng.permutation(size) for first, size in zip(firsts, families.values(), strict=False)]

    def _dynamics(
        self, seed: int, visits: Visits, replicate: int, orders: Sequence[np.ndarray], part: StreamPart
    ) -> np.ndarray:
        """[V] the dynamics of every visit, never those of the visit before where there are others."""
        chosen: list[int] = []
        for visit, domain in enumerate(visits.domain_of_visits(replicate)):
            own = orders[domain][: self.recurring]
            others = own[own != chosen[-1]] if chosen and len(own) > 1 else own
            chosen.append(int(visited_task(seed, visit, part).choice(others)))
        return np.array(chosen)

    @staticmethod
    def _rows(dynamics: np.ndarray, per_dynamics: int, which: np.ndarray) -> np.ndarray:
        rows: np.ndarray = dynamics[:, None] * per_dynamics + which
        return rows.reshape(-1)


@dataclass(frozen=True, kw_only=True)
class RecurringDynamicsPool(RecurringPool):
    """Draws windows by index from rollouts in memory. V visits."""

    seeds: Sequence[int]
    domain_names: list[str]
    visits: Visits
    shots: int
    queries: int
    dynamics: Sequence[np.ndarray]
    """[R] arrays [V], the dynamics of every visit."""
    rollouts: np.ndarray
    """[dynamics, P] the rollouts that the stream shows, by number."""
    windows: DynamicsWindowPool
    """All rollouts, and episodes of those for pre-training."""

    def to(self, device: torch.device) -> RecurringDynamicsPool:
        return dataclasses.replace(self, windows=self.windows.to(device))

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        starts = self.windows.x.shape[1] - self.shots + 1
        numbers = np.empty((2, len(self.seeds), 1), np.int64)  # rollout, first transition
        for replicate, seed in enumerate(self.seeds):
            own = self.rollouts[self.dynamics[replicate][self.visits.number[replicate, step]]]
            which, start = generator(Purpose.STEP_EXAMPLES, seed, step).random(2)
            numbers[:, replicate, 0] = own[int(which * len(own))], int(start * starts)
        rollout, first = upload([*numbers], self.windows.x.device)
        x, y = self.windows.standardised(rollout, first, self.shots)
        return x[:, 0], y[:, 0]

    def episodes(self, count: int, rngs: Sequence[np.random.Generator]) -> Episode:
        tasks = np.zeros((len(rngs), count), np.int64)
        return self.windows.sample(tasks, "train", shots=self.shots, queries=self.queries, rngs=rngs)

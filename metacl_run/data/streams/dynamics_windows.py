"""Dynamics that change from task to task: the stream of a source of transitions for protocol `continual_meta`.

An episode is a window of one rollout under one of the dynamics of a task: `shots` transitions to adapt to, then `queries`
transitions to predict (Nagabandi et al. 2019, arXiv 1803.11347, equation 4). An input is a state and an action, a target the
change of the state; both are standardised by the mean and deviation of the seed's training rollouts.

With mpc=true, if the source has a simulator, a controller also plans with the adapted model, under dynamics of the evaluated
split.

The seed chooses some dynamics of every task to hold out for test; of the others, some rollouts are held out. With unseen=0, the
test is on new rollouts of the learned dynamics. Shapes: R seeds, T tasks, E episodes, N transitions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Le
from torch import Tensor

from metacl_run.core.bounds import AT_EVALUATION, MOST_NUMBERS, Count, CountFromZero, Examples, NoEffectWith
from metacl_run.core.errors import SettingError, require_all
from metacl_run.core.randomness import Purpose, generator
from metacl_run.core.transfer import upload
from metacl_run.core.types import Episode
from metacl_run.data.sources.control_source import ControlSource
from metacl_run.data.sources.transition_source import TransitionSource
from metacl_run.data.streams.feedback import Feedback
from metacl_run.data.streams.sampling import apart, inner_batches
from metacl_run.data.streams.stream import EpisodePool, EpisodeStream, ModelControl, Split
from metacl_run.data.streams.units import Units
from metacl_run.scoring.objectives import REGRESSION, Objective

Tables = Mapping[Split, list[list[np.ndarray]]]
"""[R][T] the rollouts of every task in each split, by number."""
CONSTANT = 1e-6
"""Standard deviation up to which a number counts as constant and is not scaled."""
UNUSED = NoEffectWith("mpc", (False,))
WITH_MPC = {"identity": "mpc"}
"""Metadata of settings that have a part in a run's id where mpc is true."""


@dataclass(frozen=True, kw_only=True)
class DynamicsWindows(EpisodeStream):
    """A task is a family of dynamics."""

    ways = 1
    reports_before = True

    source: TransitionSource
    shots: Annotated[Examples, AT_EVALUATION]
    """Transitions to adapt to."""
    queries: Annotated[Examples, AT_EVALUATION]
    """Transitions after these, to predict."""
    unseen: CountFromZero
    """Dynamics of each family kept for test; 0: the test is on new rollouts of the learned dynamics."""
    held_out: Count
    """Rollouts under each of the learned dynamics kept for validation, and as many for test."""
    mpc: Annotated[bool, AT_EVALUATION] = dataclasses.field(metadata=WITH_MPC)
    """Whether a controller plans with the learner as its model at the end of a run."""
    mpc_episodes: Annotated[int, Ge(1), Le(1000), AT_EVALUATION, UNUSED] = dataclasses.field(metadata=WITH_MPC)
    """Episodes of each task in which the controller acts."""
    mpc_steps: Annotated[int, Ge(1), Le(10**4), AT_EVALUATION, UNUSED] = dataclasses.field(metadata=WITH_MPC)
    """Steps of an episode, after those by random actions that fill the first window."""
    mpc_horizon: Annotated[int, Ge(1), Le(1000), AT_EVALUATION, UNUSED] = dataclasses.field(metadata=WITH_MPC)
    """Steps that the controller plans ahead."""
    mpc_candidates: Annotated[int, Ge(1), Le(10**6), AT_EVALUATION, UNUSED] = dataclasses.field(metadata=WITH_MPC)
    """Random plans of which the controller takes the best."""

    def __post_init__(self) -> None:
        fewest, (rollouts, _) = min(self.source.count_dynamics().values()), self.source.count_rollouts()
        require_all(
            (self.unseen < fewest, "unseen", self.unseen, f"must be less than {fewest}, the dynamics of a family"),
            (2 * self.held_out < rollouts, "held_out", self.held_out, f"must be less than half of the {rollouts} rollouts"),
        )

    @property
    def outputs(self) -> int:
        return self.source.state_size

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.source.example_shape

    @property
    def objective(self) -> Objective:
        return REGRESSION

    def count_tasks(self) -> int:
        return len(self.source.count_dynamics())

    def check(self, *, examples_per_class: int, replay_classes: int | None, split: Split) -> None:
        self.source.check()
        _, steps = self.source.count_rollouts()
        if examples_per_class > steps:
            allowed = f"with {examples_per_class - self.shots} to predict must be at most {steps}, the steps of a rollout"
            raise SettingError("shots", self.shots, allowed)
        if self.mpc:
            self._check_control()

    def _check_control(self) -> None:
        numbers = self.count_tasks() * self.mpc_episodes * self.mpc_candidates * self.mpc_horizon * self.source.action_size
        many = f"is too much with mpc_episodes and mpc_horizon: the actions of a step would be {numbers:.1e} numbers"
        no_simulator = f"{type(self.source).__name__} has rollouts only, and no simulator to act in"
        require_all(
            (isinstance(self.source, ControlSource), "mpc", self.mpc, no_simulator),
            (numbers <= MOST_NUMBERS, "mpc_candidates", self.mpc_candidates, many),
        )

    def load(self, seeds: Sequence[int]) -> DynamicsWindowPool:
        rollouts, families = self.source.read(), self.source.count_dynamics()
        x = torch.from_numpy(np.concatenate([rollouts.states[:, :, :-1], rollouts.actions], -1)).flatten(0, 1)
        y = torch.from_numpy(np.diff(rollouts.states, axis=2)).flatten(0, 1)
        tables = self._tables(seeds, list(families.values()))
        learned = [np.concatenate(tasks) for tasks in tables["train"]]
        return DynamicsWindowPool(
            task_names=[list(families)] * len(seeds),
            x=x,
            y=y,
            tables=tables,
            scales=(scales(x, learned), scales(y, learned)),
            stream=self,
        )

    def _tables(self, seeds: Sequence[int], sizes: Sequence[int]) -> Tables:
        rollouts, _ = self.source.count_rollouts()
        every: dict[Split, list[list[np.ndarray]]] = {"train": [], "validation": [], "test": []}
        for seed in seeds:
            rng = generator(Purpose.ASSIGN, seed)
            shuffled = [first + rng.permutation(size) for first, size in zip(_firsts(sizes), sizes, strict=True)]
            seen, unseen = ([part[chosen] for part in shuffled] for chosen in (slice(self.unseen, None), slice(self.unseen)))
            num_learned = rollouts - 2 * self.held_out
            every["train"].append([_rows(part, rollouts, range(num_learned)) for part in seen])
            validation, test = range(num_learned, num_learned + self.held_out), range(num_learned + self.held_out, rollouts)
            every["validation"].append([_rows(part, rollouts, validation) for part in seen])
            new_rollouts = [_rows(part, rollouts, test) for part in seen]
            every["test"].append([_rows(part, rollouts, range(rollouts)) for part in unseen] if self.unseen else new_rollouts)
        return every


def _firsts(sizes: Sequence[int]) -> list[int]:
    return [0, *np.cumsum(sizes)[:-1].tolist()]


def _rows(dynamics: np.ndarray, rollouts: int, chosen: range) -> np.ndarray:
    """Numbers of some rollouts of some dynamics, where all rollouts lie dynamics by dynamics."""
    rows: np.ndarray = dynamics[:, None] * rollouts + np.array(chosen)
    return rows.reshape(-1)


def scales(values: Tensor, learned: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [R, numbers] of the rollouts [N, steps, numbers] that every seed learns from."""
    own = [values[torch.from_numpy(rows)].double().flatten(0, 1) for rows in learned]
    deviations = torch.stack([part.std(0) for part in own])
    deviations = torch.where(deviations > CONSTANT, deviations, torch.ones_like(deviations))
    return torch.stack([part.mean(0) for part in own]).float(), deviations.float()


@dataclass(frozen=True, kw_only=True)
class DynamicsWindowPool(EpisodePool):
    """Draws windows by index from rollouts in memory."""

    task_names: list[list[str]]
    x: Tensor
    """[rollouts, steps, S + A]."""
    y: Tensor
    """[rollouts, steps, S]."""
    tables: Tables
    scales: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]
    """Mean and standard deviation of inputs and of targets, each [R, numbers]."""
    stream: DynamicsWindows | None = None
    """Where the windows come from, and how a controller acts; None where no more is asked than to `sample`."""

    @property
    def feedback(self) -> Feedback:
        (_, unit), (mean, deviation) = self.scales
        of_state = unit[:, : deviation.shape[1]]
        return Feedback(deviation / of_state, mean / of_state)

    def to(self, device: torch.device) -> DynamicsWindowPool:
        of_x, of_y = ((mean.to(device), deviation.to(device)) for mean, deviation in self.scales)
        return dataclasses.replace(self, x=self.x.to(device), y=self.y.to(device), scales=(of_x, of_y))

    def sample(
        self,
        tasks: np.ndarray,
        split: Split,
        *,
        shots: int,
        queries: int,
        rngs: Sequence[np.random.Generator],
        classes: np.ndarray | None = None,
        batches: tuple[int, int] | None = None,
    ) -> Episode:
        return self._windows(self._rows_of(tasks, split), shots, queries, rngs, batches)[0]

    def switches(
        self,
        tasks: np.ndarray,
        split: Split,
        *,
        shots: int,
        queries: int,
        rngs: Sequence[np.random.Generator],
        batches: tuple[int, int] | None = None,
    ) -> tuple[Episode, Episode] | None:
        if self.stream is None:
            return None
        rollouts, _ = self.stream.source.count_rollouts()
        every = self._rows_of(tasks, split)
        if any(np.ptp(rows // rollouts) == 0 for of_seed in every for rows in of_seed):
            return None
        old, rollouts_before = self._windows(every, shots, queries, rngs, batches)
        others = [
            [rows[rows // rollouts != rollout // rollouts] for rows, rollout in zip(of_seed, before, strict=True)]
            for of_seed, before in zip(every, rollouts_before, strict=True)
        ]
        return old, self._windows(others, shots, queries, rngs, batches)[0]

    def _rows_of(self, tasks: np.ndarray, split: Split) -> list[list[np.ndarray]]:
        """[R][E] the rollouts of the task of every episode."""
        return [[table[task] for task in of_seed] for table, of_seed in zip(self.tables[split], tasks, strict=True)]

    def _windows(
        self,
        rows: list[list[np.ndarray]],
        shots: int,
        queries: int,
        rngs: Sequence[np.random.Generator],
        batches: tuple[int, int] | None,
    ) -> tuple[Episode, np.ndarray]:
        """A window of one of the rollouts [R][E] for every episode, and that rollout, [R, E]."""
        episodes = len(rows[0])
        numbers = np.empty((2, len(rngs), episodes), np.int64)  # rollout, first step
        starts = self.x.shape[1] - shots - queries + 1
        for replicate, (rng, own) in enumerate(zip(rngs, rows, strict=True)):
            which, start = rng.random((2, episodes))
            numbers[0, replicate] = [part[int(share * len(part))] for part, share in zip(own, which, strict=True)]
            numbers[1, replicate] = (start * starts).astype(np.int64)
        inner = inner_batches(rngs, episodes, batches, support=shots)
        rollout, first, index = upload([*numbers, inner], self.x.device)
        x, y = self.standardised(rollout, first, shots + queries)
        return Episode.divided(x, y, shots, index), numbers[0]

    def standardised(self, rollout: Tensor, first: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets [R, E, length, ...] of windows, given by their rollout and first transition, [R, E] each."""
        steps = first.unsqueeze(-1) + torch.arange(length, device=first.device)
        x, y = (
            (values[rollout.unsqueeze(-1), steps] - mean[:, None, None]) / deviation[:, None, None]
            for values, (mean, deviation) in zip((self.x, self.y), self.scales, strict=True)
        )
        return x, y

    def control(self, split: Split, rngs: Sequence[Sequence[np.random.Generator]]) -> ModelControl | None:
        stream = self.stream
        if stream is None or not stream.mpc:
            return None
        source = stream.source
        assert isinstance(source, ControlSource)
        if split == "validation":
            rngs = [apart(own) for own in rngs]  # else it would be the same draws as test
        shares = np.array([[rng.random(stream.mpc_episodes) for rng in own] for own in rngs])
        dynamics = np.zeros(shares.shape, np.int64)
        for (replicate, task, episode), share in np.ndenumerate(shares):
            own = np.unique(self.tables[split][replicate][task] // source.count_rollouts()[0])
            dynamics[replicate, task, episode] = own[int(share * len(own))]
        return ModelControl(
            episodes=source.control_episodes(dynamics, rngs, stream.shots).to(self.x.device),
            units=Units(*self.scales[0], *self.scales[1]),
            num_episodes=stream.mpc_episodes,
            num_steps=stream.mpc_steps,
            horizon=stream.mpc_horizon,
            candidates=stream.mpc_candidates,
        )

"""Acting in a simulator that is no tensor program: episodes step in processes, the policy answers all of them at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metacl_run.data.streams.acting import NEVER, Acting, Paths, Policy
from metacl_run.simulators.policy_episodes import NumpyPolicy, roll_out
from metacl_run.simulators.workers import Workers


@dataclass(frozen=True, kw_only=True)
class SimulatedActing(Acting):
    """Placements of skills, and the processes that simulate them."""

    workers: Workers
    """They hold a `Simulator`, which knows the skills by their names."""
    skills: Sequence[str]
    """[T]."""
    placements: np.ndarray
    """[R, T, E] int."""
    others: np.ndarray
    """The same, for validation."""
    horizon: int
    """Most steps of an episode."""
    scaled: Callable[[np.ndarray], np.ndarray]
    """Makes of observations [..., D] what a network receives."""
    things: Mapping[str, slice]
    """The two numbers of an observation that are where a thing is, seen from above."""
    device: torch.device

    @property
    def episodes(self) -> int:  # type: ignore[override]
        return int(self.placements.shape[-1])

    def to(self, device: torch.device) -> SimulatedActing:
        return dataclasses.replace(self, device=device)

    def validation(self) -> SimulatedActing:
        return dataclasses.replace(self, placements=self.others, others=self.placements)

    def successes(self, tasks: range, policy: Policy, *, limit: int | None) -> Tensor:
        skills, placements = self.skills[tasks.start : tasks.stop], self.placements[:, tasks.start : tasks.stop, :limit]
        own = self._of_numpy(policy, tasks.start)
        with _one_thread():
            outcome = roll_out(self.workers, skills, placements, own, horizon=self.horizon)
        return torch.from_numpy(outcome.successes).to(self.device, torch.float32)

    def paths(self, task: int, policy: Policy, count: int) -> Paths:
        placements = self.placements[:1, task : task + 1, :count]
        own = self._of_numpy(policy, task)
        with _one_thread():
            outcome = roll_out(self.workers, self.skills[task : task + 1], placements, own, horizon=self.horizon, record=True)
        visited = [outcome.visited[0, 0, episode] for episode in range(placements.shape[-1])]
        longest, reaches = max(map(len, visited)), outcome.successes[0, 0]
        observations = np.array([[*steps, *[steps[-1]] * (longest - len(steps))] for steps in visited])
        points = np.stack([observations[..., place] for place in self.things.values()], 2)
        return Paths(
            things=list(self.things),
            points=torch.from_numpy(points).float(),
            reached_at=torch.tensor([len(own) - 1 if goal else NEVER for own, goal in zip(visited, reaches, strict=True)]),
        )

    def _of_numpy(self, policy: Policy, first: int) -> NumpyPolicy:
        """The policy for arrays; tasks are counted from `first`."""

        def act(observations: np.ndarray, tasks: np.ndarray) -> np.ndarray:
            inputs = torch.from_numpy(self.scaled(observations)).to(self.device, torch.float32)
            return policy(inputs, torch.from_numpy(first + tasks).to(self.device)).double().cpu().numpy()

        return act


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keeps torch to one thread: the cores belong to the processes that simulate, and threads that wait for each other spin."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)

"""Bodies of HalfCheetah that a controller moves, simulated in processes (extra `robot`).

Shapes: R seeds, B bodies of each, M first steps.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metacl_run.data.streams.control_episodes import ControlEpisodes, Window, World
from metacl_run.simulators.half_cheetah_bodies import CONTROL_COST, FORWARD
from metacl_run.simulators.workers import Workers


@dataclass(frozen=True, kw_only=True)
class HalfCheetahControl(ControlEpisodes):
    """The reward of a step is the forward speed minus the cost of the action (`simulators/half_cheetah_bodies.py`)."""

    workers: Workers
    """They hold `HalfCheetahBodies`. A body stays in its process: results do not depend on how many there are."""
    dynamics: list[list[str]]
    """[R][B] names."""
    seeds: np.ndarray
    """[R, B] int, decide the starts."""
    actions: np.ndarray
    """[R, B, M, ACTION] the first ones."""
    device: torch.device

    @property
    def lowest(self) -> Tensor:  # type: ignore[override]
        return -self.highest

    @property
    def highest(self) -> Tensor:  # type: ignore[override]
        return torch.ones(self.actions.shape[-1], device=self.device)

    @property
    def goals(self) -> Tensor:  # type: ignore[override]
        return torch.empty(*self.seeds.shape, 0, device=self.device)

    def to(self, device: torch.device) -> HalfCheetahControl:
        return dataclasses.replace(self, device=device)

    def begin(self) -> tuple[World, Window]:
        names = np.array([name for own in self.dynamics for name in own], object)
        (states,) = self._ask("begin", names, self.seeds.reshape(-1), self.actions.reshape(-1, *self.actions.shape[2:]))
        return None, Window(states, self._tensor(self.actions))

    def step(self, world: World, actions: Tensor) -> tuple[World, Tensor, Tensor]:
        states, rewards = self._ask("step", actions.double().flatten(0, 1).cpu().numpy())
        return None, states, rewards

    def rewards(self, actions: Tensor, states: Tensor, goals: Tensor) -> Tensor:
        return states[..., FORWARD] - CONTROL_COST * actions.square().sum(-1)

    def _ask(self, method: str, *of_lanes: np.ndarray) -> list[Tensor]:
        """Calls a method for all lanes, R * B, each in its own process. Returns its answers as tensors [R, B, ...]."""
        lanes = np.arange(self.seeds.size)
        shares = [lanes[number :: self.workers.count] for number in range(min(self.workers.count, len(lanes)))]
        for number, own in enumerate(shares):
            self.workers.ask(number, method, own.tolist(), *(part[own] for part in of_lanes))
        answers: dict[int, tuple[np.ndarray, ...]] = {}
        for _ in shares:
            number, answer = self.workers.answer()
            answers[number] = answer if isinstance(answer, tuple) else (answer,)
        order = np.argsort(np.concatenate(shares))
        leaves = zip(*(answers[number] for number in range(len(shares))), strict=True)
        return [self._tensor(np.concatenate(leaf)[order]).unflatten(0, self.seeds.shape) for leaf in leaves]

    def _tensor(self, array: Any) -> Tensor:
        return torch.from_numpy(array).to(self.device)

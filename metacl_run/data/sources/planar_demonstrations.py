"""The planar skills: a hand with a gripper over a table, and experts to copy. Synthetic.

    metacl-run algo=er data=planar_skills

The world and its experts are `metacl_run/simulators/`. Every demonstration begins at its own placement and takes `horizon`
steps. Noise is added to the executed actions, but the recorded actions are the expert's, so that a learner sees how to recover
from small mistakes (DART: Laskey et al. 2017, arXiv 1703.09327).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metacl_run.core.bounds import Examples, NonNegative, Steps
from metacl_run.core.errors import require
from metacl_run.core.randomness import Purpose, generator
from metacl_run.data.sources.skill_source import Demonstrations, PlacedDemonstrations, SkillSource, check_skills
from metacl_run.data.streams.acting import Acting, Paths, Policy, first_step
from metacl_run.simulators import planar_rollouts
from metacl_run.simulators.planar_skills import TARGET_SEEN, UNIFORMS, observation_size, observe, reached, start
from metacl_run.simulators.planar_world import (
    ACTION,
    ANGLE,
    BLOCK,
    DRAWER,
    HAND,
    HINGE,
    PUCK,
    PULL,
    SKILLS,
    TARGET,
    door_handle,
    drawer_knob,
    dynamics_of,
)

HELD_OUT = 5
"""Demonstrations of each skill that are not learned from."""
DRAWN_THINGS = {
    "reach": ("target",),
    "push": ("puck", "target"),
    "pick_place": ("block", "target"),
    "open_door": ("handle",),
    "close_door": ("handle",),
    "open_drawer": ("knob",),
    "close_drawer": ("knob",),
}
"""What matters to each skill beside the hand."""
_LEARNED, _HELD_OUT, _TESTED, _VALIDATED, _PLACED = range(5)
"""Parts of the placements: each has random numbers of its own. From `_PLACED` on: demonstrations one by one."""


@dataclass(frozen=True, kw_only=True)
class PlanarDemonstrations(SkillSource):
    """Skills in the planar world."""

    skills: list[str]
    demonstrations: Examples
    """Demonstrations of each skill; every seed has its own."""
    noise: NonNegative
    """Standard deviation of the noise on the actions of a demonstration."""
    horizon: Steps
    """Steps of a demonstration, and steps within which a learner must reach the goal."""

    def __post_init__(self) -> None:
        check_skills(self.skills, SKILLS)

    @property
    def example_shape(self) -> tuple[int, ...]:
        return (observation_size(with_task=False),)

    @property
    def num_actions(self) -> int:
        return ACTION

    def count_pairs(self) -> int:
        return self.demonstrations * self.horizon

    def check(self) -> None:
        most = "with horizon, must give at most 1000000 pairs a skill"
        require(self.count_pairs() <= 10**6, "demonstrations", self.demonstrations, most)

    def demonstrate(self, seeds: Sequence[int]) -> tuple[Demonstrations, Demonstrations]:
        return self._pairs(seeds, self.demonstrations, _LEARNED), self._pairs(seeds, HELD_OUT, _HELD_OUT)

    @property
    def goal(self) -> list[int]:
        return TARGET_SEEN

    def demonstrate_placements(self, seeds: Sequence[int], counts: Sequence[int], steps: int) -> list[PlacedDemonstrations]:
        parts = []
        for number, count in enumerate(counts):
            starts = self._starts(seeds, count, _PLACED + number)
            observations, actions = self._steps(seeds, starts, _PLACED + number)
            evenly = torch.arange(steps) * self.horizon // steps
            alone = starts.flatten(1, 2).unsqueeze(2)
            acting = PlanarActing(
                skills=[skill for skill in self.skills for _ in range(count)],
                episodes=1,
                starts=alone,
                others=alone,
                dynamics=dynamics_of(),
                horizon=self.horizon,
            )
            parts.append(
                PlacedDemonstrations(observations=observations[..., evenly, :], actions=actions[..., evenly, :], acting=acting)
            )
        return parts

    def acting(self, seeds: Sequence[int], episodes: int) -> PlanarActing:
        tested, validated = (self._starts(seeds, episodes, part) for part in (_TESTED, _VALIDATED))
        return PlanarActing(
            skills=self.skills, episodes=episodes, starts=tested, others=validated, dynamics=dynamics_of(), horizon=self.horizon
        )

    def _pairs(self, seeds: Sequence[int], count: int, part: int) -> Demonstrations:
        """The demonstrations of one part in a row: [R, T, count * horizon, ...]."""
        observations, actions = self._steps(seeds, self._starts(seeds, count, part), part)
        return Demonstrations(observations=observations.flatten(2, 3), actions=actions.flatten(2, 3))

    def _steps(self, seeds: Sequence[int], starts: Tensor, part: int) -> tuple[Tensor, Tensor]:
        """Demonstrations from `starts` [R, T, count, STATE]: observations [R, T, count, horizon, D] and actions."""
        shape = (self.horizon, starts.shape[2], ACTION)

        def draw(rng_seed: int, skill: str) -> Tensor:
            rng = generator(Purpose.DISTURBANCES, rng_seed, SKILLS.index(skill), part)
            return torch.from_numpy(rng.standard_normal(shape)).float()

        noise = self.noise * self._of_all(seeds, draw).movedim(2, 0)
        states, actions = planar_rollouts.demonstrations(starts, dynamics_of(), noise)  # [horizon, R, T, count, ...]
        observations = observe(states, with_task=False)
        in_time = [leaf.movedim(0, 3).contiguous() for leaf in (observations, actions)]
        return in_time[0], in_time[1]

    def _starts(self, seeds: Sequence[int], count: int, part: int) -> Tensor:
        """[R, T, count, STATE]."""

        def draw(seed: int, skill: str) -> Tensor:
            rng = generator(Purpose.PLACEMENTS, seed, SKILLS.index(skill), part)
            return start(skill, torch.from_numpy(rng.random((count, UNIFORMS))).float())

        return self._of_all(seeds, draw)

    def _of_all(self, seeds: Sequence[int], draw: Callable[[int, str], Tensor]) -> Tensor:
        """[R, T, ...] what is drawn for every seed and skill, whatever the order of the skills is."""
        return torch.stack([torch.stack([draw(seed, skill) for skill in self.skills]) for seed in seeds])


@dataclass(frozen=True, kw_only=True)
class PlanarActing(Acting):
    """Placements of the planar skills."""

    skills: Sequence[str]
    """[T]."""
    episodes: int
    starts: Tensor
    """[R, T, E, STATE]."""
    others: Tensor
    """The same, for validation."""
    dynamics: Tensor
    horizon: int

    def to(self, device: torch.device) -> PlanarActing:
        moved = {name: getattr(self, name).to(device) for name in ("starts", "others", "dynamics")}
        return dataclasses.replace(self, **moved)

    def validation(self) -> PlanarActing:
        return dataclasses.replace(self, starts=self.others, others=self.starts)

    def successes(self, tasks: range, policy: Policy, *, limit: int | None) -> Tensor:
        starts = self.starts[:, tasks.start : tasks.stop, :limit]
        task = torch.arange(tasks.start, tasks.stop, device=starts.device).repeat_interleave(starts.shape[2])
        reaches = planar_rollouts.succeeds(_acting_on_states(policy, task), starts.flatten(1, 2), self.dynamics, self.horizon)
        return reaches.view(starts.shape[:-1]).float()

    def paths(self, task: int, policy: Policy, count: int) -> Paths:
        starts = self.starts[:1, task, :count]
        tasks = torch.full((starts.shape[1],), task, device=starts.device)
        visited = planar_rollouts.path(_acting_on_states(policy, tasks), starts, self.dynamics, self.horizon)[:, 0]
        names = ("hand", *DRAWN_THINGS[self.skills[task]])
        places = _places(visited)
        return Paths(
            things=names,
            points=torch.stack([places[name] for name in names], 2).transpose(0, 1),
            reached_at=first_step(reached(visited).T),
        )


def _acting_on_states(policy: Policy, tasks: Tensor) -> planar_rollouts.Policy:
    return lambda states: policy(observe(states, with_task=False), tasks).to(states.dtype)


def _places(states: Tensor) -> dict[str, Tensor]:
    """The places [..., 2] of everything that moves or is moved to."""
    handle, _ = door_handle(states[..., HINGE], states[..., ANGLE])
    return {
        "hand": states[..., HAND],
        "block": states[..., BLOCK],
        "puck": states[..., PUCK],
        "target": states[..., TARGET],
        "handle": handle,
        "knob": drawer_knob(states[..., DRAWER], states[..., PULL]),
    }

"""Skills of Meta-World in MuJoCo, to be copied from scripted experts (extra `robot`).

    metacl-run algo=er data=metaworld

What an expert does, and what counts as success, is in `metacl_run/simulators/metaworld_tasks.py`. Demonstrations are made once,
in several processes, and stay in the user's cache folder. Every seed has its own.
Shapes: R seeds, T skills, N pairs of a skill.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, NamedTuple

import numpy as np
import torch
from annotated_types import Ge, Le

from metacl_run.core.bounds import MOST_NUMBERS, Examples, NonNegative, Positive
from metacl_run.core.errors import require
from metacl_run.core.randomness import Purpose, generator
from metacl_run.data.files.cache import cached_on_disk, stored_on_disk
from metacl_run.data.progress_bar import progress_bar
from metacl_run.data.sources.skill_source import Demonstrations, SkillSource, check_skills
from metacl_run.data.streams.simulated_acting import SimulatedActing
from metacl_run.simulators.demonstrations import Demanded, demonstrations
from metacl_run.simulators.metaworld_tasks import (
    ACTION,
    GOAL,
    HAND,
    LONGEST,
    OBJECT,
    OBSERVATION,
    TASKS,
    metaworld_task,
    scaled,
)
from metacl_run.simulators.robot_extra import METAWORLD, check_packages
from metacl_run.simulators.simulator import Simulator
from metacl_run.simulators.workers import Workers, cores

HELD_OUT: Final = 4
"""Demonstrations of each skill that are not learned from."""
HELD_OUT_PAIRS: Final = 200
FOLDER: Final = "demonstrations"
"""Of the cache."""
_LEARNED, _HELD_OUT, _TESTED, _VALIDATED = range(4)
"""Parts of the placements: each has random numbers of its own."""


class _Recording(NamedTuple):
    """Demonstrations of one skill, of one seed and part."""

    seed: int
    skill: str
    part: int
    size: int


@dataclass(frozen=True, kw_only=True)
class MetaWorld(SkillSource):
    """Tasks of Meta-World."""

    skills: list[str]
    demonstrations: Annotated[int, Ge(1), Le(10**4)]
    """Demonstrations of each skill that reach the goal."""
    pairs: Examples
    """N, pairs of each skill, taken evenly from all steps of its demonstrations: some of them, or all and some again."""
    noise: NonNegative
    """Standard deviation of what is added to half of the actions of a demonstration."""
    horizon: Annotated[int, Ge(1), Le(LONGEST)]
    """Steps within which expert and learner have to reach the goal."""
    processes: Annotated[int, Ge(1), Le(1000)] | None = dataclasses.field(metadata={"identity": False})
    """Processes that simulate; None: as many as there are cores."""
    timeout: Positive = dataclasses.field(metadata={"identity": False})
    """Seconds after which a process that does not answer is taken to hang."""

    def __post_init__(self) -> None:
        check_skills(self.skills, TASKS)
        most = MOST_NUMBERS // (len(self.skills) * self.horizon * (OBSERVATION + ACTION))
        require(self.demonstrations <= most, "demonstrations", self.demonstrations, f"must be at most {most}, as memory holds")

    @property
    def example_shape(self) -> tuple[int, ...]:
        return (OBSERVATION,)

    @property
    def fingerprint(self) -> str:
        return ", ".join(f"{package} {pin}" for package, pin in METAWORLD.items() if pin)

    @property
    def num_actions(self) -> int:
        return ACTION

    def count_pairs(self) -> int:
        return self.pairs

    def check(self) -> None:
        check_packages("data=metaworld", METAWORLD, "data=planar_skills")

    def demonstrate(self, seeds: Sequence[int]) -> tuple[Demonstrations, Demonstrations]:
        parts = {_LEARNED: (self.demonstrations, self.pairs), _HELD_OUT: (HELD_OUT, HELD_OUT_PAIRS)}
        recordings = {
            part: [[_Recording(seed, skill, part, size) for skill in self.skills] for seed in seeds]
            for part, (size, _) in parts.items()
        }
        steps = self._record([recording for rows in recordings.values() for row in rows for recording in row])
        learned, held_out = (
            _evenly([[steps[recording] for recording in row] for row in recordings[part]], pairs)
            for part, (_, pairs) in parts.items()
        )
        return learned, held_out

    def acting(self, seeds: Sequence[int], episodes: int) -> SimulatedActing:
        def drawn(part: int) -> np.ndarray:
            generators = [[self._placements(seed, skill, part) for skill in self.skills] for seed in seeds]
            return np.array([[rng.integers(2**31, size=episodes) for rng in row] for row in generators])

        return SimulatedActing(
            workers=self._workers(),
            skills=self.skills,
            placements=drawn(_TESTED),
            others=drawn(_VALIDATED),
            horizon=self.horizon,
            scaled=scaled,
            things={"hand": HAND, "object": OBJECT, "goal": GOAL},
            device=torch.device("cpu"),
        )

    def _record(self, recordings: Sequence[_Recording]) -> dict[_Recording, np.ndarray]:
        """[steps, D + A] of each, from the cache or made now; what is complete is kept whatever becomes of the others."""
        steps = {recording: cached_on_disk(self._key(recording), folder=FOLDER) for recording in recordings}
        missing = [recording for recording, array in steps.items() if array is None]
        for recording, array in self._made(missing):
            stored = stored_on_disk(self._key(recording), array.shape, array.dtype, [array], folder=FOLDER)
            steps[recording] = array if stored is None else stored
        return {recording: array for recording, array in steps.items() if array is not None}

    def _made(self, recordings: Sequence[_Recording]) -> Iterator[tuple[_Recording, np.ndarray]]:
        demands = [
            Demanded(
                task=skill,
                count=size,
                horizon=self.horizon,
                num_actions=ACTION,
                noise=self.noise,
                placements=self._placements(seed, skill, part),
                disturbances=generator(Purpose.DISTURBANCES, seed, TASKS.index(skill), part),
            )
            for seed, skill, part, size in recordings
        ]
        workers = self._workers()
        try:
            with progress_bar("demonstrations", sum(recording.size for recording in recordings)) as advance:
                for number, pairs in demonstrations(demands, workers, lambda: advance(1)):
                    yield recordings[number], np.concatenate(pairs).astype(np.float32)
        finally:
            workers.end()

    def _placements(self, seed: int, skill: str, part: int) -> np.random.Generator:
        return generator(Purpose.PLACEMENTS, seed, TASKS.index(skill), part)

    def _key(self, recording: _Recording) -> tuple[object, ...]:
        return (self.fingerprint, *recording, self.noise, self.horizon)

    def _workers(self) -> Workers:
        count = self.processes or cores()
        return Workers(Simulator, [metaworld_task, count], count=count, timeout_s=self.timeout)


def _evenly(steps: Sequence[Sequence[np.ndarray]], pairs: int) -> Demonstrations:
    """Takes so many pairs from every [steps, D + A], evenly and in order."""
    rows = [[own[np.arange(pairs) * len(own) // pairs] for own in row] for row in steps]
    observations, actions = np.split(np.array(rows), [OBSERVATION], -1)
    return Demonstrations(observations=torch.from_numpy(scaled(observations)), actions=torch.from_numpy(actions))

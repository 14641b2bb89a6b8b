"""Skills of Meta-World in MuJoCo, to be copied from scripted experts (extra `robot`).

    metacl-run algo=er data=metaworld

`metacl_run/simulators/metaworld_tasks.py` defines what an expert does and what counts as success. Demonstrations are made once,
in several processes, and are kept in the user's cache folder. Every seed has its own. Shapes: R seeds, T skills, N pairs of a
skill.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final, NamedTuple

import numpy as np
import torch
from annotated_types import Ge, Le

from metacl_run.core.bounds import MOST_NUMBERS, Examples, NonNegative, Positive
from metacl_run.core.errors import require
from metacl_run.core.randomness import Purpose, generator
from metacl_run.data.files.cache import cached_on_disk, stored_on_disk
from metacl_run.data.progress_bar import progress_bar
from metacl_run.data.sources.skill_source import Demonstrations, PlacedDemonstrations, SkillSource, check_skills
from metacl_run.data.streams.simulated_acting import SimulatedActing
from metacl_run.simulators.demonstrations import Demanded, Demonstration, demonstrations
from metacl_run.simulators.metaworld_tasks import (
    ACTION,
    GOAL,
    HAND,
    LONGEST,
    OBJECT,
    OBSERVATION,
    TASKS,
    WHOLE_GOAL,
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
_LEARNED, _HELD_OUT, _TESTED, _VALIDATED, _PLACED = range(5)
"""Parts of the placements: each has random numbers of its own. From `_PLACED` on: demonstrations one by one."""


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
    """Demonstrations of each skill, all of which reach the goal."""
    pairs: Examples
    """N, pairs of each skill, taken evenly from all steps of its demonstrations; some steps are used more than once if there
    are too few."""
    noise: NonNegative
    """Standard deviation of the noise added to half of the actions of a demonstration."""
    horizon: Annotated[int, Ge(1), Le(LONGEST)]
    """Steps within which expert and learner must reach the goal."""
    processes: Annotated[int, Ge(1), Le(1000)] | None = dataclasses.field(metadata={"identity": False})
    """Simulator processes; None: one for each core."""
    timeout: Positive = dataclasses.field(metadata={"identity": False})
    """Seconds after which a process that does not answer counts as hanging."""

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
        steps = self._record([recording for rows in recordings.values() for row in rows for recording in row], _in_a_row)
        learned, held_out = (
            _evenly([[steps[recording] for recording in row] for row in recordings[part]], pairs)
            for part, (_, pairs) in parts.items()
        )
        return learned, held_out

    @property
    def goal(self) -> list[int]:
        return list(range(*WHOLE_GOAL.indices(OBSERVATION)))

    def demonstrate_placements(self, seeds: Sequence[int], counts: Sequence[int], steps: int) -> list[PlacedDemonstrations]:
        recordings = [
            [[_Recording(seed, skill, _PLACED + part, size) for skill in self.skills] for seed in seeds]
            for part, size in enumerate(counts)
        ]
        every = [recording for rows in recordings for row in rows for recording in row]
        packed = self._record(every, partial(_one_by_one, steps), "one by one", steps)
        return [self._placed(np.array([[packed[recording] for recording in row] for row in rows])) for rows in recordings]

    def _placed(self, packed: np.ndarray) -> PlacedDemonstrations:
        """Args:
        packed: [R, T, P, S, D + A + 1] as `_one_by_one` has it.
        """
        placements = packed[..., 0, -1].astype(np.int64).reshape(len(packed), -1, 1)
        observations, actions = np.split(packed[..., :-1], [OBSERVATION], -1)
        return PlacedDemonstrations(
            observations=torch.from_numpy(scaled(observations)).float(),
            actions=torch.from_numpy(actions).float(),
            acting=self._acting([skill for skill in self.skills for _ in range(packed.shape[2])], placements, placements),
        )

    def acting(self, seeds: Sequence[int], episodes: int) -> SimulatedActing:
        def drawn(part: int) -> np.ndarray:
            generators = [[self._placements(seed, skill, part) for skill in self.skills] for seed in seeds]
            return np.array([[rng.integers(2**31, size=episodes) for rng in row] for row in generators])

        return self._acting(self.skills, drawn(_TESTED), drawn(_VALIDATED))

    def _acting(self, skills: Sequence[str], placements: np.ndarray, others: np.ndarray) -> SimulatedActing:
        return SimulatedActing(
            workers=self._workers(),
            skills=skills,
            placements=placements,
            others=others,
            horizon=self.horizon,
            scaled=scaled,
            things={"hand": HAND, "object": OBJECT, "goal": GOAL},
            device=torch.device("cpu"),
        )

    def _record(
        self, recordings: Sequence[_Recording], packed: Callable[[Sequence[Demonstration]], np.ndarray], *form: object
    ) -> dict[_Recording, np.ndarray]:
        """Each recording as `packed` has it, from the cache or made now. What is complete is kept, whatever becomes of others.

        Args:
            recordings: what is wanted.
            packed: of the demonstrations of a recording.
            form: tells what `packed` makes from what other functions do.
        """
        steps = {recording: cached_on_disk((*self._key(recording), *form), folder=FOLDER) for recording in recordings}
        missing = [recording for recording, array in steps.items() if array is None]
        for recording, made in self._made(missing):
            array = packed(made)
            stored = stored_on_disk((*self._key(recording), *form), array.shape, array.dtype, [array], folder=FOLDER)
            steps[recording] = array if stored is None else stored
        return {recording: array for recording, array in steps.items() if array is not None}

    def _made(self, recordings: Sequence[_Recording]) -> Iterator[tuple[_Recording, list[Demonstration]]]:
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
                for number, made in demonstrations(demands, workers, lambda: advance(1)):
                    yield recordings[number], made
        finally:
            workers.end()

    def _placements(self, seed: int, skill: str, part: int) -> np.random.Generator:
        return generator(Purpose.PLACEMENTS, seed, TASKS.index(skill), part)

    def _key(self, recording: _Recording) -> tuple[object, ...]:
        return (self.fingerprint, *recording, self.noise, self.horizon)

    def _workers(self) -> Workers:
        count = self.processes or cores()
        return Workers(Simulator, [metaworld_task, count], count=count, timeout_s=self.timeout)


def _in_a_row(made: Sequence[Demonstration]) -> np.ndarray:
    """[steps, D + A] of all demonstrations."""
    return np.concatenate([demonstration.pairs for demonstration in made]).astype(np.float32)


def _one_by_one(steps: int, made: Sequence[Demonstration]) -> np.ndarray:
    """[P, S, D + A + 1] float64: so many pairs of each, taken evenly, and its placement."""
    rows = [pairs[np.arange(steps) * len(pairs) // steps] for _, pairs in made]
    placements = np.array([placement for placement, _ in made], float)
    return np.concatenate([np.array(rows), np.broadcast_to(placements[:, None, None], (len(rows), steps, 1))], -1)


def _evenly(steps: Sequence[Sequence[np.ndarray]], pairs: int) -> Demonstrations:
    """Takes so many pairs from every [steps, D + A], evenly and in order."""
    rows = [[own[np.arange(pairs) * len(own) // pairs] for own in row] for row in steps]
    observations, actions = np.split(np.array(rows), [OBSERVATION], -1)
    return Demonstrations(observations=torch.from_numpy(scaled(observations)), actions=torch.from_numpy(actions))

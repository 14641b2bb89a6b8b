"""HalfCheetah in MuJoCo, with dynamics that differ between tasks: recordings under random actions (extra `robot`).

A family is a kind of change: crippled joints, reversed joints, gains of motors, gravity, mass. A state is an observation, [17],
an action [6].
"""

from __future__ import annotations

import dataclasses
import itertools
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
import torch
from annotated_types import Ge, Le, MinLen

from metacl_run.core.bounds import Positive, Seed
from metacl_run.core.errors import require
from metacl_run.core.randomness import Purpose, generator
from metacl_run.data.files.cache import cached_on_disk, stored_on_disk
from metacl_run.data.progress_bar import progress_bar
from metacl_run.data.sources.control_source import ControlSource
from metacl_run.data.sources.half_cheetah_control import HalfCheetahControl
from metacl_run.data.sources.transition_source import Rollouts
from metacl_run.simulators.half_cheetah import ACTION, JOINTS, STATE, HalfCheetahRecorder, canonical, check_dynamics
from metacl_run.simulators.half_cheetah_bodies import HalfCheetahBodies
from metacl_run.simulators.robot_extra import GYMNASIUM, check_packages, installed
from metacl_run.simulators.workers import Workers, cores


def _sets_of_joints(most: int) -> list[str]:
    """Every choice of 1 to `most` joints, as the name of dynamics has it."""
    return ["+".join(joints) for count in range(1, most + 1) for joints in itertools.combinations(JOINTS, count)]


WHOLE_FAMILIES: Final = {
    "cripple": [f"cripple:{joints}" for joints in _sets_of_joints(3)],
    "flip": [f"flip:{joints}" for joints in _sets_of_joints(len(JOINTS))],
    "motors": [f"motors:{number}" for number in range(60)],
    **{kind: [f"{kind}:{factor}" for factor in (0.3, 0.6, 1.5, 2, 3)] for kind in ("gravity", "mass")},
}
"""What the name of a family alone stands for."""
FOLDER: Final = "dynamics"
"""Of the cache."""
RECORDINGS: Final = 3
"""Version of how recordings are made, part of the fingerprint: raise it when the recordings change."""


@dataclass(frozen=True, kw_only=True)
class HalfCheetahDynamics(ControlSource):
    """Changed dynamics of HalfCheetah-v5; `metacl_run/simulators/half_cheetah.py` says how they are written."""

    dynamics: Annotated[list[str], MinLen(1)]
    """Dynamics, or names of `WHOLE_FAMILIES`. A task is a family, in the order in which families are first named."""
    recordings: Annotated[int, Ge(3), Le(10**4)]
    """Recordings under each of the dynamics."""
    recording_steps: Annotated[int, Ge(2), Le(10**5)]
    """Steps of a recording."""
    generator_seed: Seed
    """Decides the starting states and the actions."""
    processes: Annotated[int, Ge(1), Le(1000)] | None = dataclasses.field(metadata={"identity": False})
    """Simulator processes; null: one for each core."""
    timeout: Positive = dataclasses.field(metadata={"identity": False})
    """Seconds after which a process that does not answer counts as hanging."""

    def __post_init__(self) -> None:
        names = self._names()
        for name in names:
            check_dynamics("dynamics", name)
        same = [canonical(name) for name in names]
        twice = [name for place, name in enumerate(names) if same[place] in same[:place]]
        require(not twice, "dynamics", twice[0] if twice else "", "is named twice")

    @property
    def state_size(self) -> int:
        return STATE

    @property
    def action_size(self) -> int:
        return ACTION

    @property
    def fingerprint(self) -> str:
        packages = (f"{package} {version}" for package, version in installed(("gymnasium", "mujoco")).items())
        return ", ".join((*packages, f"recordings {RECORDINGS}"))

    def count_dynamics(self) -> dict[str, int]:
        return {family: len(names) for family, names in self._families().items()}

    def count_rollouts(self) -> tuple[int, int]:
        return self.recordings, self.recording_steps

    def check(self) -> None:
        check_packages("data=half_cheetah", GYMNASIUM, "data=planar_dynamics")

    def read(self) -> Rollouts:
        """Returns the recordings, from the cache or made now. Raises SimulatorError."""
        steps = self._recorded([name for names in self._families().values() for name in names])  # [D, P, T, ...] float64
        states, actions, changes = np.split(steps, [STATE, STATE + ACTION], -1)
        states = np.concatenate([states, states[:, :, -1:] + changes[:, :, -1:]], 2)
        return Rollouts(states=states.astype(np.float32), actions=actions.astype(np.float32))

    def control_episodes(
        self, dynamics: np.ndarray, rngs: Sequence[Sequence[np.random.Generator]], steps_before: int
    ) -> HalfCheetahControl:
        """A body has to run forward. Raises SimulatorError once it acts."""
        names, (replicates, _, count) = [name for family in self._families().values() for name in family], dynamics.shape
        seeds = np.array([[rng.integers(2**31, size=count) for rng in own] for own in rngs])
        actions = np.array([[rng.uniform(-1, 1, (count, steps_before, ACTION)) for rng in own] for own in rngs])
        return HalfCheetahControl(
            workers=self._workers(HalfCheetahBodies),
            dynamics=[[names[number] for number in own] for own in dynamics.reshape(replicates, -1)],
            seeds=seeds.reshape(replicates, -1),
            actions=actions.reshape(replicates, -1, *actions.shape[3:]),
            device=torch.device("cpu"),
        )

    def _workers(self, make: Callable[[], object]) -> Workers:
        return Workers(make, [], count=self.processes or cores(), timeout_s=self.timeout)

    def _names(self) -> list[str]:
        return [name for word in self.dynamics for name in WHOLE_FAMILIES.get(word, [word])]

    def _families(self) -> dict[str, list[str]]:
        """The dynamics by the word before the colon."""
        families: dict[str, list[str]] = {}
        for name in self._names():
            families.setdefault(name.partition(":")[0], []).append(name)
        return families

    def _recorded(self, names: Sequence[str]) -> np.ndarray:
        """[D, P, T, state + action + change] float64. The cache has an entry for each dynamics."""
        size = self.recordings, self.recording_steps
        keys = {name: (self.fingerprint, name, *size, self.generator_seed) for name in names}
        steps = {name: cached_on_disk(keys[name], folder=FOLDER) for name in names}
        missing = [name for name in names if steps[name] is None]
        for name, made in zip(missing, self._made(missing), strict=True):
            stored = stored_on_disk(keys[name], made.shape, made.dtype, [made], folder=FOLDER)
            steps[name] = made if stored is None else stored
        return np.stack([array for array in steps.values() if array is not None])

    def _made(self, names: Sequence[str]) -> np.ndarray:
        requests = [(name, seed, self.recording_steps) for name in names for seed in self._seeds(name)]
        made = np.empty((len(requests), self.recording_steps, 2 * STATE + ACTION))
        workers = self._workers(HalfCheetahRecorder)
        try:
            with progress_bar("recordings", len(requests)) as advance:
                for place, steps in workers.answers("record", requests):
                    made[place] = steps
                    advance(1)
        finally:
            workers.end()
        return made.reshape(len(names), self.recordings, *made.shape[1:])

    def _seeds(self, name: str) -> list[int]:
        """What decides starts and actions under some dynamics, whatever others there are."""
        rng = generator(Purpose.PLACEMENTS, self.generator_seed, zlib.crc32(name.encode()), 0)
        return [int(seed) for seed in rng.integers(2**31, size=self.recordings)]

"""HalfCheetah in MuJoCo whose dynamics differ from task to task: recordings under random actions (extra `robot`).

An example is a state and an action, [23]; its target is how the state changes in one step, [17]. Both are standardised by mean
and deviation over the learned part: the learned dynamics, without the recordings held out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
from annotated_types import Ge, Le

from metacl_run.core.bounds import Positive, Seed
from metacl_run.core.errors import require
from metacl_run.core.randomness import Purpose, generator
from metacl_run.data.files.cache import cached_on_disk, stored_on_disk
from metacl_run.data.progress_bar import progress_bar
from metacl_run.data.sources.source import Source
from metacl_run.simulators.half_cheetah import ACTION, STATE, HalfCheetahRecorder, check_dynamics
from metacl_run.simulators.robot_extra import GYMNASIUM, check_packages, installed
from metacl_run.simulators.workers import Workers, cores

FOLDER: Final = "dynamics"
"""Of the cache."""


@dataclass(frozen=True, kw_only=True)
class DynamicsRecordings:
    """Standardised recordings. Shapes: C dynamics, L recordings of each, N steps of a recording."""

    names: list[str]
    """[C] the dynamics, those learned first."""
    num_learned: int
    """Dynamics that are learned; the others are for tests alone."""
    learned_recordings: int
    """Recordings of each of them that are learned; the others are for tests."""
    x: np.ndarray
    """[C, L, N, state + action] float32."""
    y: np.ndarray
    """[C, L, N, state] float32."""

    def windows(
        self, dynamics: np.ndarray, recordings: np.ndarray, starts: np.ndarray, length: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Steps that follow each other: the first to adapt to, the others to predict.

        Args:
            dynamics, recordings, starts: [...] int, where each window begins.
            length: past and future steps together.

        Returns:
            [..., length, state + action] and [..., length, state].
        """
        steps = starts[..., None] + np.arange(length)
        place = dynamics[..., None], recordings[..., None], steps
        return self.x[place], self.y[place]


@dataclass(frozen=True, kw_only=True)
class HalfCheetahDynamics(Source):
    """Changed dynamics of HalfCheetah-v5; `metacl_run/simulators/half_cheetah.py` says how they are written."""

    learned: list[str]
    """Dynamics to learn from."""
    unseen: list[str]
    """Dynamics for tests alone."""
    recordings: Annotated[int, Ge(1), Le(10**4)]
    """Recordings of each dynamics to learn from."""
    test_recordings: Annotated[int, Ge(1), Le(10**4)]
    """Further recordings of each dynamics, for tests."""
    recording_steps: Annotated[int, Ge(2), Le(10**5)]
    """Steps of a recording."""
    generator_seed: Seed
    """Decides starts and actions."""
    processes: Annotated[int, Ge(1), Le(1000)] | None = dataclasses.field(metadata={"identity": False})
    """Processes that simulate; None: as many as there are cores."""
    timeout: Positive = dataclasses.field(metadata={"identity": False})
    """Seconds after which a process that does not answer is taken to hang."""

    def __post_init__(self) -> None:
        require(bool(self.learned), "learned", "[]", "must name at least one dynamics, such as usual")
        for field in ("learned", "unseen"):
            for name in getattr(self, field):
                check_dynamics(field, name)
        names = [*self.learned, *self.unseen]
        twice = [name for place, name in enumerate(names) if name in names[:place]]
        require(not twice, "unseen", twice[0] if twice else "", "is named twice")

    @property
    def example_shape(self) -> tuple[int, ...]:
        return (STATE + ACTION,)

    @property
    def fingerprint(self) -> str:
        return ", ".join(f"{package} {version}" for package, version in installed(("gymnasium", "mujoco")).items())

    def check(self) -> None:
        """Refuses packages that are not installed. Raises DataError."""
        check_packages("data=half_cheetah", GYMNASIUM, "data=sinusoid")

    def read(self) -> DynamicsRecordings:
        """Returns the recordings, from the cache or made now. Raises SimulatorError."""
        names = [*self.learned, *self.unseen]
        steps = self._recorded(names)  # [C, L, N, state + action + state]
        learned = steps[: len(self.learned), : self.recordings].reshape(-1, steps.shape[-1])
        mean, deviation = learned.mean(0), learned.std(0)
        standardised = ((steps - mean) / np.maximum(deviation, 1e-8)).astype(np.float32)
        x, y = np.split(standardised, [STATE + ACTION], -1)
        return DynamicsRecordings(names=names, num_learned=len(self.learned), learned_recordings=self.recordings, x=x, y=y)

    def _recorded(self, names: Sequence[str]) -> np.ndarray:
        """[C, L, N, ...] float64. The cache has an entry for each dynamics."""
        size = self.recordings + self.test_recordings, self.recording_steps
        keys = {name: (self.fingerprint, name, *size, self.generator_seed) for name in names}
        steps = {name: cached_on_disk(keys[name], folder=FOLDER) for name in names}
        missing = [name for name in names if steps[name] is None]
        for name, made in zip(missing, self._made(missing), strict=True):
            stored = stored_on_disk(keys[name], made.shape, made.dtype, [made], folder=FOLDER)
            steps[name] = made if stored is None else stored
        return np.stack([array for array in steps.values() if array is not None])

    def _made(self, names: Sequence[str]) -> np.ndarray:
        count = self.recordings + self.test_recordings
        requests = [(name, seed, self.recording_steps) for name in names for seed in self._seeds(count)]
        made = np.empty((len(requests), self.recording_steps, 2 * STATE + ACTION))
        workers = Workers(HalfCheetahRecorder, [], count=self.processes or cores(), timeout_s=self.timeout)
        try:
            with progress_bar("recordings", len(requests)) as advance:
                for place, steps in workers.answers("record", requests):
                    made[place] = steps
                    advance(1)
        finally:
            workers.end()
        return made.reshape(len(names), count, *made.shape[1:])

    def _seeds(self, count: int) -> list[int]:
        """The same ones for all dynamics, which then differ in nothing else."""
        return [int(seed) for seed in generator(Purpose.PLACEMENTS, self.generator_seed, 0, 0).integers(2**31, size=count)]

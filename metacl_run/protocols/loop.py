"""The only run loop: phases one after another, unit by unit, until the end or until a stop is requested.

A phase defines its unit and what follows one. The loop stops between two steps, which are one unit each, or several where a
card is slow to start one (`Trainer.at_once`), saves checkpoints, and knows nothing of
learning or evaluating. Training is a phase (`training.py`), a meta-test another.
"""

from __future__ import annotations

import abc
import time
from collections.abc import Sequence

import torch

from metacl_run.protocols.progress import Progress
from metacl_run.protocols.protocol_result import Status
from metacl_run.protocols.train_state import TrainState


class Phase(abc.ABC):
    """Units of work of one kind. All of their effect is in the run's `TrainState`, so that a run can stop after any unit."""

    @property
    @abc.abstractmethod
    def length(self) -> int:
        """Number of units."""

    def begin(self) -> None:  # noqa: B027
        """Prepares for the next unit, in a fresh run or in one that continues in this phase. Default: nothing."""

    @abc.abstractmethod
    def step(self, unit: int) -> int:
        """Does one unit of this phase, numbered from 0, or several in a row; returns how many."""

    @abc.abstractmethod
    def after_step(self) -> None:
        """Records and evaluates after a step, whose units now count as done. Sets `TrainState.error` where the run diverged."""


def run_phases(progress: Progress, phases: Sequence[Phase], *, checkpoint_every: float) -> Status:
    """Does the units of all phases that are not yet done, and saves a checkpoint at least every so many seconds."""
    state = progress.state
    if state.error is not None:  # killed after the checkpoint of a diverged run, before its summary
        return "diverged"
    first, saved = 0, time.monotonic()
    for phase in phases:
        last = first + phase.length
        if state.unit < last:
            phase.begin()
        while state.unit < last:
            if progress.context.stop_requested():
                save(progress)
                return "interrupted"
            run_step(phase, state, first)
            if state.error is not None:
                save(progress)
                return "diverged"
            if time.monotonic() - saved >= checkpoint_every:
                save(progress)
                saved = time.monotonic()
        first = last
    save(progress)
    return "completed"


def run_step(phase: Phase, state: TrainState, first: int) -> None:
    """Does the next step of a phase, whose own first unit is unit number `first` of the run."""
    state.unit += phase.step(state.unit - first)
    phase.after_step()


def save(progress: Progress) -> None:
    """Saves a checkpoint of the run."""
    store = progress.context.store
    progress.state.record_bytes = store.position
    store.save_checkpoint(progress.state.to(torch.device("cpu")).content())

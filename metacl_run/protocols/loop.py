"""The only run loop: phases one after another, unit by unit, until the end or until the run is asked to stop.

A phase says what a unit is and what follows it; the loop stops between two units, saves checkpoints, and knows nothing of
learning or evaluating. Training is a phase (`training.py`), a meta-test another.
"""

from __future__ import annotations

import abc
import time
from collections.abc import Sequence
from typing import Any

import torch

from metacl_run.protocols.protocol_result import Status
from metacl_run.protocols.run_context import RunContext
from metacl_run.protocols.train_state import TrainState


class Phase(abc.ABC):
    """Units of work of one kind. All of their effect is in the run's `TrainState`, so that a run can stop after any unit."""

    @property
    @abc.abstractmethod
    def length(self) -> int:
        """Number of units."""

    @abc.abstractmethod
    def begin(self) -> None:
        """Prepares for the next unit: of a fresh run, or of one that continues in the middle of this phase."""

    @abc.abstractmethod
    def step(self, unit: int) -> None:
        """Does one unit of this phase, numbered from 0."""

    @abc.abstractmethod
    def after_step(self) -> None:
        """Records and evaluates after a unit, which now counts as done. Sets `TrainState.error` where the run diverged."""


def run_phases(
    context: RunContext[Any, Any, Any], state: TrainState, phases: Sequence[Phase], *, checkpoint_every: float
) -> Status:
    """Does the units of all phases that are not yet done, and saves a checkpoint at least every so many seconds."""
    if state.error is not None:  # killed after the checkpoint of a diverged run, before its summary
        return "diverged"
    first, saved = 0, time.monotonic()
    for phase in phases:
        last = first + phase.length
        if state.unit < last:
            phase.begin()
        while state.unit < last:
            if context.stop_requested():
                save(context, state)
                return "interrupted"
            run_unit(phase, state, first)
            if state.error is not None:
                save(context, state)
                return "diverged"
            if time.monotonic() - saved >= checkpoint_every:
                save(context, state)
                saved = time.monotonic()
        first = last
    save(context, state)
    return "completed"


def run_unit(phase: Phase, state: TrainState, first: int) -> None:
    """Does the next unit of a phase, whose own first one is unit number `first` of the run."""
    phase.step(state.unit - first)
    state.unit += 1
    phase.after_step()


def save(context: RunContext[Any, Any, Any], state: TrainState) -> None:
    """Saves a checkpoint of the run."""
    state.record_bytes = context.store.position
    context.store.save_checkpoint(state.to(torch.device("cpu")).content())

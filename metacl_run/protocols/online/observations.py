"""The observations of a stream: a batch, and the samples drawn for it from the replay buffer.

Shapes: R replicates, U observations in a block.
"""

from __future__ import annotations

import math

import torch
from torch.utils._pytree import tree_map

from metacl_run.core.transfer import upload
from metacl_run.core.types import Observation
from metacl_run.protocols.online.replay_schedule import ReplayDraws, ReplaySchedule
from metacl_run.protocols.online.setup import StreamSetup

BLOCK_BYTES = 64e6
"""Observations are gathered in blocks of about this size, so that gathering one costs next to nothing."""
LONGEST_BLOCK = 200


class Observations:
    """The observations of all replicates, by their number in the stream. Fastest in order; any order is right."""

    def __init__(self, setup: StreamSetup) -> None:
        self._setup = setup
        spec, batch = setup.algo.replay_spec(setup.num_tasks), setup.algo.batch_size
        self._schedules = [
            ReplaySchedule(
                spec,
                seed,
                num_tasks=setup.num_tasks,
                samples_per_task=setup.used_per_task,
                batch_size=batch,
                epochs=setup.epochs,
                labels=setup.labels(replicate) if spec.by_class else None,
            )
            for replicate, seed in enumerate(setup.seeds)
        ]
        self.examples = batch + spec.draws * spec.size
        """Examples of an observation of one replicate, replayed ones included."""
        numbers = len(setup.seeds) * self.examples * math.prod(setup.input_shape)
        self._block_length = max(1, min(LONGEST_BLOCK, int(BLOCK_BYTES / (numbers * setup.dtype.itemsize))))
        self._block: Observation | None = None
        self._block_start = 0
        # Draws of tasks to come are empty. An engine that is compiled or captured for one shape receives them all the same.
        self._skips_empty_draws = spec.by_task and setup.engine.kind in ("loop", "vmap")

    def block(self, units: range) -> Observation:
        """[U, R, ...] the observations of every replicate at some units, or at the first of them, as many as are gathered."""
        if self._block is None or not 0 <= units.start - self._block_start < len(self._block.write):
            self._block = None  # makes room for the next
            self._block, self._block_start = self._gather(units.start), units.start
        places = slice(units.start - self._block_start, units.stop - self._block_start)
        observations: Observation = tree_map(lambda leaf: leaf[places], self._block)
        return observations

    def _gather(self, first: int) -> Observation:
        """[U, R, ...] the next observations."""
        setup = self._setup
        count, draws = min(self._block_length, setup.num_tasks * setup.units_per_task - first), slice(None)
        if self._skips_empty_draws:
            task, done = divmod(first, setup.units_per_task)
            count, draws = min(count, setup.units_per_task - done), slice(max(1, task))
        by_replicate = [
            self._of_replicate(replicate, range(first, first + count), schedule.draw(first, count).of_tasks(draws))
            for replicate, schedule in enumerate(self._schedules)
        ]
        stacked: Observation = tree_map(lambda *leaves: torch.stack(leaves, 1), *by_replicate)
        return stacked._replace(batch=stacked.batch.cast(setup.dtype), replay=stacked.replay.cast(setup.dtype))

    def _of_replicate(self, replicate: int, units: range, draws: ReplayDraws) -> Observation:
        """[U, ...] the observations of some units with these draws."""
        setup, numbers = self._setup, self._setup.batch_numbers(replicate, units)
        order, weight, slot, write = upload([draws.order, draws.weight, draws.slot, draws.write], setup.device)
        batch, replayed = setup.gather(replicate, numbers), setup.gather(replicate, draws.number)
        return Observation(batch, order, replayed, weight.to(setup.dtype), slot, write)

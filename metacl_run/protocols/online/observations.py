"""The observations of a stream: a batch, and the samples drawn for it from the replay buffer.

Shapes: R replicates, U observations in a block.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from metacl_run.core.randomness import Purpose, generator
from metacl_run.core.transfer import upload
from metacl_run.core.types import Observation, Samples
from metacl_run.protocols.online.replay_schedule import ReplayDraws, ReplaySchedule
from metacl_run.protocols.online.setup import StreamSetup

BLOCK_BYTES, CARD_BLOCK_BYTES = 64e6, 512e6
"""Observations are gathered in blocks of about this size, so that gathering one costs next to nothing; on a card, where the
launches for each seed are what it costs, in larger ones."""
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
                samples=setup.used,
                batch_size=batch,
                epochs=setup.epochs,
                labels=setup.labels(replicate) if spec.by_class else None,
                labels_recur=setup.labels_recur,
            )
            for replicate, seed in enumerate(setup.seeds)
        ]
        self._spec = spec
        numbers = len(setup.seeds) * (batch + spec.draws * spec.size) * math.prod(setup.input_shape)
        block_bytes = CARD_BLOCK_BYTES if setup.device.type == "cuda" else BLOCK_BYTES
        self._block_length = max(1, min(LONGEST_BLOCK, int(block_bytes / (numbers * setup.dtype.itemsize))))
        self._block: Observation | None = None
        self._block_start = 0
        # Draws of tasks to come are empty. An engine that is compiled or captured for one shape receives them all the same.
        self._skips_empty_draws = spec.by_task and setup.engine.kind in ("loop", "vmap")

    def count_examples(self, units: range) -> int:
        """Examples that one replicate learns from at some observations: the batch, unless the draws take its place, and the
        draws, of a method that draws of every task those of tasks that are over."""
        spec, setup = self._spec, self._setup
        batch = 0 if spec.keep in ("seen", "all") else setup.algo.batch_size
        over = int(setup.units.tasks_at(np.arange(units.start, units.stop)).sum())
        return len(units) * batch + spec.size * (over if spec.by_task else len(units) * spec.draws)

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
        count, draws = min(self._block_length, setup.units.total - first), slice(None)
        if self._skips_empty_draws:
            task = setup.units.task_at(first)
            count, draws = min(count, int(setup.units.ends[task]) - first), slice(max(1, task))
        by_replicate = [
            self._of_replicate(replicate, range(first, first + count), schedule.draw(first, count), draws)
            for replicate, schedule in enumerate(self._schedules)
        ]
        return self._stacked(by_replicate)

    def of_exemplars(self, unit: int, exemplars: Tensor) -> Observation:
        """[1, R, ...] one observation of every replicate, whose draws are from exemplars [R, M]."""
        by_replicate = []
        for replicate, own in enumerate(exemplars.cpu().numpy()):
            schedule, units = self._schedules[replicate], range(unit, unit + 1)
            observation = self._of_replicate(replicate, units, schedule.draw_from(unit, own), slice(None))
            (numbers,) = upload([self._setup.batch_numbers(replicate, units)], self._setup.device)
            by_replicate.append(observation._replace(number=numbers))
        return self._stacked(by_replicate)

    def _stacked(self, by_replicate: Sequence[Observation]) -> Observation:
        """[U, R, ...] the observations of all replicates, of the run's dtype."""
        stacked: Observation = tree_map(lambda *leaves: torch.stack(leaves, 1), *by_replicate)
        dtype = self._setup.dtype
        return stacked._replace(batch=stacked.batch.cast(dtype), replay=stacked.replay.cast(dtype))

    def _of_replicate(self, replicate: int, units: range, draws: ReplayDraws, places: slice) -> Observation:
        """[U, ...] the observations of some units, with some of their draws."""
        setup, numbers = self._setup, self._setup.batch_numbers(replicate, units)
        alterations = self._alterations(replicate, units, draws)
        draws = draws.of_tasks(places)
        order, weight, slot, write = upload([draws.order, draws.weight, draws.slot, draws.write], setup.device)
        batch, replayed = setup.gather(replicate, numbers), setup.gather(replicate, draws.number)
        if alterations is not None:
            batch = self._altered(batch, alterations[0])
            replayed = self._altered(replayed, alterations[1][:, places])
        none = torch.empty(len(units), 0, device=setup.device)
        uniform = self._uniform(replicate, units) if self._spec.uniforms else none
        share = self._share(units) if setup.algo.needs_share else none
        return Observation(batch, order, replayed, weight.to(setup.dtype), slot, write, none, uniform, share)

    def _share(self, units: range) -> Tensor:
        """[U] the share of the observations of its task, of all passes, that came before each."""
        lengths = self._setup.units
        tasks, places = lengths.within(np.arange(units.start, units.stop))
        (share,) = upload([places / np.array(lengths.lengths)[tasks]], self._setup.device)
        return share

    def _uniform(self, replicate: int, units: range) -> Tensor:
        """[U, B, ReplaySpec.uniforms] the random numbers that a method asks for."""
        shape = (self._setup.algo.batch_size, self._spec.uniforms)
        rngs = (generator(Purpose.EXEMPLARS, self._setup.seeds[replicate], unit) for unit in units)
        (numbers,) = upload([np.stack([rng.random(shape, np.float32) for rng in rngs])], self._setup.device)
        return numbers

    def _alterations(self, replicate: int, units: range, draws: ReplayDraws) -> tuple[np.ndarray, np.ndarray] | None:
        """Uniform numbers by which batches [U, B] and draws [U, G, K] are altered; None where nothing is."""
        augmentation = self._setup.pool.augmentation
        if augmentation is None:
            return None
        batch, drawn = draws.write.shape[1:], draws.number.shape[1:]
        count = math.prod(batch) + math.prod(drawn)
        rngs = (generator(Purpose.AUGMENT, self._setup.seeds[replicate], unit) for unit in units)
        uniforms = np.stack([rng.random((count, augmentation.numbers), np.float32) for rng in rngs])
        of_batch, of_draws = np.split(uniforms, [math.prod(batch)], 1)
        return of_batch, of_draws.reshape(len(units), *drawn, augmentation.numbers)

    def _altered(self, samples: Samples, uniforms: np.ndarray) -> Samples:
        """Samples [...], altered by `uniforms` [..., numbers]."""
        augmentation, axes = self._setup.pool.augmentation, samples.task.ndim
        assert augmentation is not None
        (numbers,) = upload([uniforms], self._setup.device)
        x = augmentation.apply(samples.x.flatten(0, axes - 1), numbers.flatten(0, axes - 1))
        return samples._replace(x=x.view(samples.x.shape))

"""Demonstrations by scripted experts, made in several processes; which ones they are does not depend on how many processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from metacl_run.core.errors import SimulatorError
from metacl_run.simulators.workers import Workers

STAY: Final = 10
"""Steps that a demonstration goes on after the goal is reached."""
NOISY: Final = 0.5
"""The share of actions that noise is added to. What is recorded is what the expert would have done, so that a learner sees the
way back (DART: Laskey et al. 2017, arXiv 1703.09327)."""
FREE_TRIES: Final = 10


@dataclass(frozen=True, kw_only=True)
class Demanded:
    """Demonstrations of one task that are to be made.

    Attributes:
        task: its name.
        count: demonstrations that reach the goal.
        horizon: most steps of one.
        num_actions: A, the numbers of an action.
        noise: standard deviation of what is added to half of the actions.
        placements, disturbances: generators that decide where everything is, and the noise.
    """

    task: str
    count: int
    horizon: int
    num_actions: int
    noise: float
    placements: np.random.Generator
    disturbances: np.random.Generator

    @property
    def most_tries(self) -> int:
        """Tries after which the expert is given up: it has to succeed in half of them, after the first few."""
        return FREE_TRIES + 2 * self.count

    def next_try(self) -> tuple[int, np.ndarray]:
        """Draws a placement, and the noise [horizon, A] of its actions."""
        noise = self.noise * self.disturbances.standard_normal((self.horizon, self.num_actions))
        noisy = self.disturbances.random((self.horizon, 1)) < NOISY
        return int(self.placements.integers(2**31)), np.where(noisy, noise, 0)


class Demonstration(NamedTuple):
    """One that reached the goal."""

    placement: int
    pairs: np.ndarray
    """[n, D + A], n at most the horizon."""


@dataclass
class _Progress:
    """How far a demand is. Tries are numbered in the order in which they are drawn."""

    demanded: Demanded
    tries: int = 0
    under_way: int = 0
    placements: list[int] = field(default_factory=list)
    """Of every try."""
    successes: dict[int, Demonstration] = field(default_factory=dict)

    @property
    def wants_more(self) -> bool:
        return len(self.successes) + self.under_way < self.demanded.count

    @property
    def is_complete(self) -> bool:
        return len(self.successes) == self.demanded.count


def demonstrations(
    demands: Sequence[Demanded], workers: Workers, advance: Callable[[], None]
) -> Iterator[tuple[int, list[Demonstration]]]:
    """Makes demonstrations, of `workers` that hold a `Simulator`.

    A task's are those of its first tries that reach the goal: another is begun only for one that failed, and so no more are
    begun with more processes.

    Args:
        demands: what is to be made; their generators are used up.
        workers: all of them idle.
        advance: called after every demonstration that succeeds.

    Yields:
        The number of a demand that is complete, and its demonstrations.

    Raises:
        SimulatorError: an expert fails too often; or as `Workers.answer`.
    """
    progress = [_Progress(demanded) for demanded in demands]
    busy: dict[int, tuple[int, int]] = {}
    complete = 0
    while complete < len(demands):
        for worker in workers.idle:
            number = next((number for number, own in enumerate(progress) if own.wants_more), None)
            if number is not None:
                busy[worker] = number, progress[number].tries
                _begin(progress[number], workers, worker)
        worker, pairs = workers.answer()
        number, attempt = busy.pop(worker)
        own = progress[number]
        own.under_way -= 1
        if pairs is not None:
            own.successes[attempt] = Demonstration(own.placements[attempt], pairs)
            advance()
        if own.is_complete:
            complete += 1
            yield number, [own.successes[attempt] for attempt in sorted(own.successes)]


def _begin(progress: _Progress, workers: Workers, worker: int) -> None:
    demanded = progress.demanded
    if progress.tries == demanded.most_tries:
        workers.end()
        raise SimulatorError(
            f"{demanded.task}: its scripted expert reached the goal in {len(progress.successes)} of {progress.tries} tries, "
            f"too few for {demanded.count} demonstrations. A longer data.horizon than {demanded.horizon}, or less data.noise "
            f"than {demanded.noise:g}, may help"
        )
    placement, noise = demanded.next_try()
    progress.placements.append(placement)
    progress.tries += 1
    progress.under_way += 1
    workers.ask(worker, "demonstrate", demanded.task, placement, noise, STAY)

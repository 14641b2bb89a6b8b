"""What training cost: units of work, examples read, floating-point operations. Replay costs what its table does not show.

Operations are counted by torch (`torch.utils.flop_counter`: matrix products and convolutions, a product of two numbers and its
sum as two) in one unit of work of each kind and at the end of one task, which are done once more and thrown away: they cost
little beside a run of hundreds of units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypedDict

from torch.utils.flop_counter import FlopCounterMode

from metacl_run.kernels import build

FEWEST_UNITS = 100
"""Units of a run whose operations are counted: a shorter one is a trial."""


class Cost(TypedDict):
    """Of one seed."""

    units: int
    """Units of work: observations, meta-updates, steps."""
    examples: int
    """Examples that all units read, replayed ones included: once in every unit, however many of its updates read it; and those
    that the ends of tasks read, once in each."""
    flops: float | None
    """Floating-point operations of all units and at the ends of tasks; None where they were not counted."""


class Work(NamedTuple):
    """Units of work of one kind, or the ends of tasks."""

    units: int
    examples: int
    """That all of them read, of one replicate."""
    unit: Callable[[], Any]
    """Does one of them for all replicates, and keeps nothing of it. Where their cost grows with the number of tasks, it is the
    one in the middle, which costs about the mean."""


def cost_of(work: Sequence[Work], ends: Work, *, replicates: int, countable: bool) -> Cost:
    """Returns the cost of training.

    Args:
        work: all units.
        ends: what is done at the ends of tasks, which counts as no unit.
        replicates: R.
        countable: whether a unit is operations of torch that this process alone does; a compiled or captured one is not.
    """
    units, every = sum(kind.units for kind in work), [*work, ends]
    examples = sum(kind.examples for kind in every)
    if units < FEWEST_UNITS or not countable:
        return Cost(units=units, examples=examples, flops=None)
    return Cost(units=units, examples=examples, flops=sum(_flops(kind.unit) * kind.units for kind in every) / replicates)


def _flops(unit: Callable[[], Any]) -> int:
    with build.without(), FlopCounterMode(display=False) as counter:
        unit()
    flops: int = counter.get_total_flops()
    return flops

"""What training cost: units of work, examples read, floating-point operations. Replay costs what its table does not show.

Operations are counted by torch (`torch.utils.flop_counter`: matrix products and convolutions, a product of two numbers and its
sum as two) in one unit of work, which is done once more and thrown away: it costs nothing beside a run of hundreds of units.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict

from torch.utils.flop_counter import FlopCounterMode

from metacl_run.kernels import build

FEWEST_UNITS = 100
"""Units of a run whose operations are counted: a shorter one is a trial."""


class Cost(TypedDict):
    """Of one seed."""

    units: int
    """Units of work: observations, meta-updates, steps."""
    examples: int
    """Examples that all units read, replayed ones included; one that is read twice counts twice."""
    flops: float | None
    """Floating-point operations of all units; None where they were not counted."""


def cost_of(units: int, examples: int, unit: Callable[[int], Any], *, replicates: int, countable: bool) -> Cost:
    """Returns the cost of training.

    Args:
        units: of work.
        examples: that a unit reads, of one replicate.
        unit: does the unit with this number for all replicates, and keeps nothing of it. The one in the middle is taken: where
            the cost grows with the number of tasks, it is about the mean.
        replicates: R.
        countable: whether a unit is operations of torch that this process alone does; a compiled or captured one is not.
    """
    flops = None
    if units >= FEWEST_UNITS and countable:
        with build.without(), FlopCounterMode(display=False) as counter:
            unit(units // 2)
        flops = counter.get_total_flops() / replicates * units
    return Cost(units=units, examples=units * examples, flops=flops)

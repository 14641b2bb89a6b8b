"""The plan of a meta-test under `meta_continual`: its settings, and the parts that it is done in.

Shapes: S lengths of the schedule, L candidate rates.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

Stage: TypeAlias = Literal["select", "test", "joint", "untrained"]
STAGES: tuple[Stage, ...] = "select", "test", "joint", "untrained"
TEXTS: dict[Stage, str] = {
    "select": "choosing the rate on meta-train concepts",
    "test": "learning unseen concepts in sequence",
    "joint": "learning them shuffled, as an upper bound",
    "untrained": "learning them by class means of random features",
}
"""The stages in words, for the terminal."""


class MetaTestPart(NamedTuple):
    """A part of meta-test: some orders of one replicate; in the upper bound, of one length of the schedule (`segment`)."""

    stage: Stage
    replicate: int
    orders: range
    segment: int


@dataclass(frozen=True, kw_only=True)
class MetaTestPlan:
    """A meta-test.

    Attributes:
        schedule: [S] numbers of concepts learned in sequence, increasing.
        rates: [L] candidates for the rate.
        chosen_on: the concepts that the rate is chosen on: "train", or "test", the reported ones; None: there is no choice.
        selection_orders: orders that decide it, with "train".
        orders: orders that are reported.
        joint_epochs: epochs of the upper bound, learned shuffled; 0: there is none.
        has_untrained: whether there is the baseline of class means of random features.
    """

    schedule: Sequence[int]
    rates: Sequence[float]
    chosen_on: Literal["train", "test"] | None
    selection_orders: int
    orders: int
    joint_epochs: int
    has_untrained: bool

    @property
    def longest(self) -> int:
        """Concepts of the longest sequence."""
        return self.schedule[-1]

    def parts(self, replicates: int, orders_at_once: int, untrained_at_once: int) -> list[MetaTestPart]:
        """Every part, in order; a run can stop between two. So many orders are learned at once, and in the baseline."""

        def chunks(stage: Stage, orders: int, at_once: int = orders_at_once, segments: int = 1) -> list[MetaTestPart]:
            ranges = [range(first, min(first + at_once, orders)) for first in range(0, orders, at_once)]
            places = itertools.product(range(replicates), range(segments), ranges)
            return [MetaTestPart(stage, replicate, own, segment) for replicate, segment, own in places]

        joint = chunks("joint", self.orders if self.joint_epochs else 0, segments=len(self.schedule))
        selection = chunks("select", self.selection_orders if self.chosen_on == "train" else 0)
        untrained = chunks("untrained", self.orders if self.has_untrained else 0, untrained_at_once)
        return selection + chunks("test", self.orders) + joint + untrained

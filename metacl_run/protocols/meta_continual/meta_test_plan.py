"""The parts that a meta-test under `meta_continual` is done in, one after another; a run can stop between two of them."""

from __future__ import annotations

from typing import Literal, NamedTuple

PHASES: tuple[Literal["select", "test", "joint"], ...] = "select", "test", "joint"
TEXTS = {
    "select": "choosing the rate on meta-train concepts",
    "test": "learning unseen concepts in sequence",
    "joint": "learning them shuffled, as an upper bound",
}
"""What is being done, for the terminal."""


class Work(NamedTuple):
    """A part of meta-test: some orders of one replicate, or one number of concepts of the upper bound."""

    phase: Literal["select", "test", "joint"]
    replicate: int
    orders: tuple[int, ...]
    segment: int


def planned(*, replicates: int, selection_orders: int, orders: int, joint_segments: int, at_once: int) -> list[Work]:
    """Every part, in order.

    Args:
        replicates: R.
        selection_orders: orders that the rate is chosen on before the others; 0: it is not.
        orders: orders that are reported.
        joint_segments: numbers of concepts that are learned shuffled as well; 0: none.
        at_once: orders that are learned together.
    """

    def parts(phase: Literal["select", "test"], count: int) -> list[Work]:
        chunks = [tuple(range(first, min(first + at_once, count))) for first in range(0, count, at_once)]
        return [Work(phase, replicate, chunk, 0) for replicate in range(replicates) for chunk in chunks]

    joint = [Work("joint", r, tuple(range(orders)), s) for r in range(replicates) for s in range(joint_segments)]
    return parts("select", selection_orders) + parts("test", orders) + joint

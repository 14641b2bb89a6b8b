"""What the training of one seed of a run cost, as its summary says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class RunCost(NamedTuple):
    """The cost of one seed; None where it is not known, as of runs of older versions."""

    units: int | None
    """Units of work: observations, meta-updates, steps."""
    examples: int | None
    """Examples that all units read, replayed ones included."""
    flops: float | None
    """Floating-point operations."""
    seconds: float | None
    """The time of training over the number of seeds that were computed together."""


def of_summary(summary: Mapping[str, Any]) -> RunCost:
    """Reads it from a summary of any version."""
    cost, seconds = summary.get("cost") or {}, summary.get("timing", {}).get("train_s")
    share = seconds / len(summary["seeds"]) if seconds else None
    return RunCost(cost.get("units"), cost.get("examples"), cost.get("flops"), share)

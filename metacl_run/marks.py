"""The marks of numbers that are not plain test numbers, and the chance level, in one wording everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TUNED_ON_TEST = "learning rate tuned on test"
"""The mark of numbers whose learning rate was chosen by accuracy on the very classes they are measured on."""
TUNED_ON = {"test": TUNED_ON_TEST, "validation": "learning rate tuned on validation"}
"""The same by the split that they are measured on."""
ON_VALIDATION = "validation, not test"
"""The mark of numbers measured on what `protocol.eval_split=validation` keeps to choose settings by."""


def episode_settings(kind: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The data's settings, which say the ways and shots of the episodes that a learner is evaluated on; empty where it is
    evaluated on no episodes."""
    data = config.get("data")
    return data if kind == "continual_meta" and isinstance(data, Mapping) else {}


def chance_level(kind: str, config: Mapping[str, Any]) -> float | None:
    """1 / ways, for runs of earlier versions, whose summaries do not have the accuracy of a guess."""
    ways = episode_settings(kind, config).get("ways")
    return 1 / ways if isinstance(ways, int) and ways > 0 else None

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


def episode_settings(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The data's settings, which say the ways and shots of the episodes a learner is evaluated on; none of them under protocol
    `online`, where it is evaluated on samples, and under `meta_continual`, where on sequences of classes."""
    data, protocol = config.get("data"), config.get("protocol")
    if not isinstance(data, Mapping) or (isinstance(protocol, Mapping) and {"probe_samples", "schedule"} & protocol.keys()):
        return {}
    return data


def chance_level(config: Mapping[str, Any]) -> float | None:
    """1 / ways, where the config says how many ways the problems have."""
    ways = episode_settings(config).get("ways")
    return 1 / ways if isinstance(ways, int) and ways > 0 else None

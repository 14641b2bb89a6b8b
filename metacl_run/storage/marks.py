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


TRANSDUCTIVE_MARK = "transductive"
"""The mark of a run whose every score is of all queries of an episode together, which batch norm lets help one another."""
WITHOUT_BATCH_NORM = ("ConvPlain", "Oml", "Anml")
"""Classes of models that never have any."""


def was_transductive(settings: Mapping[str, Any]) -> bool:
    """Whether a run of version 0.1, which was evaluated in one way only, was evaluated with all queries of an episode together
    where that matters. Its scores are then what later runs report under names that begin with "transductive_".

    Args:
        settings: of protocol and model, by full keys. A network that they say nothing of is taken to have batch norm.
    """
    if settings.get("protocol.transductive") is not True:
        return False
    if str(settings.get("model._target_")).rpartition(".")[2] in WITHOUT_BATCH_NORM:
        return False
    return bool(settings.get("model.batch_norm", settings.get("model.norm", "batch") == "batch"))


def episode_settings(kind: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The data's settings, which say the ways and shots of the episodes that a learner is evaluated on; empty where it is
    evaluated on no episodes."""
    data = config.get("data")
    return data if kind == "continual_meta" and isinstance(data, Mapping) else {}


def chance_level(kind: str, config: Mapping[str, Any]) -> float | None:
    """1 / ways, for runs of earlier versions, whose summaries do not have the accuracy of a guess."""
    ways = episode_settings(kind, config).get("ways")
    return 1 / ways if isinstance(ways, int) and ways > 0 else None

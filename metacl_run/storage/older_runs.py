"""Summaries of versions 0.1 and 0.2, and of runs that failed early: fills in the keys that they lack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from metacl_run.core.protocol_kind import ProtocolKind

DEFAULTS: dict[str, Any] = {
    "score": "accuracy",
    "metrics": {},
    "error": None,
    "warnings": [],
    "timing": {},
    "peak_memory_mb": None,
    "environment": {},
    "task_names": [],
    "units_per_task": 0,
    "task_units": None,
    "unit_name": "unit",
    "command": None,
    "tags": [],
    "evaluation_half_width": [],
    "meta_test": None,
    "kept": None,
    "cost": None,
    "start_from": None,
    "by_step": None,
    "evaluation_of": None,
    "debug": False,
    "forward_transfer": True,
    "without_effect": ("logger", "output_dir", "rerun", "progress", "data.root", "data.download", "protocol.checkpoint_every"),
}
WITHOUT_BATCH_NORM = ("ConvPlain", "Oml", "Anml")
"""Classes of models of version 0.1 that never have any."""


def completed(summary: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the summary with every key that a reader needs. Values that were written are kept."""
    settings = {
        f"{group}.{key}": value
        for group in ("protocol", "model", "data")
        if isinstance(config.get(group), Mapping)
        for key, value in config[group].items()
    }
    kind = summary.get("protocol_kind") or protocol_kind(str(settings.get("protocol._target_", "")), summary.get("protocol"))
    return {
        **DEFAULTS,
        "protocol_kind": kind,
        "eval_split": str(settings.get("protocol.eval_split", "test")),
        "chance": _chance(settings.get("data.ways")) if kind == "continual_meta" else None,
        "transductive": was_transductive(settings),
        **summary,
    }


def protocol_kind(target: str, option: str | None) -> str:
    """Returns the kind that is part of the class's module, else the option's name, which may be any."""
    kinds = [part for part in target.split(".") if part in get_args(ProtocolKind)]
    return kinds[0] if kinds else str(option)


def _chance(ways: Any) -> float | None:
    """The accuracy of a guess among that many classes."""
    return 1 / ways if isinstance(ways, int) and ways > 0 else None


def was_transductive(settings: Mapping[str, Any]) -> bool:
    """Whether a run of version 0.1 was evaluated with all queries of an episode together, where that matters. Later versions
    report such scores under names that begin with "transductive_".

    Args:
        settings: of protocol and model, by full keys. A network that they do not describe is assumed to have batch norm.
    """
    if settings.get("protocol.transductive") is not True:
        return False
    if str(settings.get("model._target_")).rpartition(".")[2] in WITHOUT_BATCH_NORM:
        return False
    return bool(settings.get("model.batch_norm", settings.get("model.norm", "batch") == "batch"))

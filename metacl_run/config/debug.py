"""Shortens a composed run for `debug=true`, by the values of configs/debug.yaml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, ListConfig

from metacl_run.config import commented_yaml
from metacl_run.config.components import config_dir


def shorten(config: DictConfig, kind: str, overrides: Sequence[str]) -> None:
    """Sets the values for a kind of protocol in a config.

    Args:
        config: a run's, with the sections `streams` of its data.
        kind: of its protocol.
        overrides: the command line; what it sets stays.
    """
    typed = {line.partition("=")[0].lstrip("+") for line in overrides}
    content = commented_yaml.read(config_dir() / "debug.yaml").content
    own_files = content["own_files"]
    if config.data.get("_target_") in own_files["sources"]:
        typed |= {f"data.{key}" for key in own_files["as_they_are"]}
    groups: Mapping[str, Mapping[str, Any]] = content.get(kind, {})
    for group, values in groups.items():
        node = config[group]
        section = node.get("streams", {}).get(kind, {}) if group == "data" else {}
        current = {**section, **node}
        changes = {
            key: shortened(current[key], value)
            for key, value in values.items()
            if key in current and f"{group}.{key}" not in typed
        }
        words = values.get("tasks_from")
        if words and {**current, **changes}.get("tasks_from") not in words.values():  # a task takes whole groups
            changes.pop("classes_per_task", None)
        if current.get("class_order") or current.get("first_task_classes"):  # which classes there are is the user's to say
            changes.pop("classes_per_task", None)
        node.update(changes)


def shortened(value: Any, limit: Any) -> Any:
    """The value of a run under a limit: a largest number or length, another list, or replacements of some values."""
    if isinstance(limit, Mapping):
        return limit.get(value, value)
    if isinstance(limit, list) or value is None:
        return limit
    if isinstance(value, list | ListConfig):
        return list(value)[:limit]
    return min(value, limit) if isinstance(value, int | float) else value

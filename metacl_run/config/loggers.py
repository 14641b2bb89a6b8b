"""Builds the loggers that `logger=` chooses: none, one, or several side by side.

An option of the group begins with the line `# @package logger.<name>`, so that Hydra puts its settings under `logger.<name>` of
the config: `logger=[wandb,csv]` has the keys `logger.wandb.project` and `logger.csv`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metacl_run.config.components import RETIRED, build
from metacl_run.core.errors import ConfigError, nearest, shown

GROUP, NO_LOGGER = "logger", "none"


def build_loggers(node: Any) -> dict[str, Any]:
    """Builds the loggers of the node `logger`, by name, in the order of the command line.

    Raises:
        ConfigError: every mistake in the node.
    """
    if not isinstance(node, Mapping):
        raise ConfigError(f"{GROUP}={shown(node)}: must be loggers by name, as in logger=csv or logger=[wandb,csv]")
    if "_target_" in node:
        raise ConfigError(
            "logger: the file of a logger must begin with the line `# @package logger.NAME`, where NAME is the file's name; "
            f"the one with _target_={shown(node['_target_'])} has no such line"
        )
    loggers: dict[str, Any] = {}
    mistakes = []
    chosen = [str(name) for name, settings in node.items() if _is_logger(settings)]
    for name, settings in node.items():
        try:
            if not _is_logger(settings):
                raise ConfigError(_stray(str(name), settings, chosen))
            loggers[str(name)] = build(settings, f"{GROUP}.{name}")
        except ConfigError as error:
            mistakes.append(str(error))
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return loggers


def chosen_option(node: Any) -> str:
    """Returns the names of the loggers as one text: "none", "wandb", "wandb,csv"."""
    names = [str(name) for name, settings in node.items() if _is_logger(settings)] if isinstance(node, Mapping) else []
    return ",".join(names) or NO_LOGGER


def _is_logger(settings: Any) -> bool:
    return isinstance(settings, Mapping) and "_target_" in settings


def _stray(name: str, value: Any, chosen: list[str]) -> str:
    """Returns the message for a setting under `logger` that belongs to no logger of the run."""
    key = f"{GROUP}.{name}"
    if isinstance(value, Mapping):
        key, value = next(((f"{key}.{setting}", value[setting]) for setting in value), (key, value))
        choice = f"[{','.join([*chosen, name])}]" if chosen else name
        return f"{key}={shown(value)}: the logger {name} is not chosen.{nearest(name, chosen)} {GROUP}={choice} chooses it"
    if key in RETIRED:
        return f"{key}={shown(value)}: {RETIRED[key]}"
    example = f"{GROUP}.{chosen[0] if chosen else 'wandb'}.{name}"
    return f"{key}={shown(value)}: there is no such setting. A setting of a logger has the logger's name in it, as in {example}"

"""The settings outside the groups: seeds, output_dir and the like, and the node `figures`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from metacl_run.config.components import GROUPS
from metacl_run.config.conversion import convert
from metacl_run.core.bounds import FigureStyle, Seeds, Tags
from metacl_run.core.errors import nearest, nearest_name, shown

LONGEST_NAME = 255
"""Bytes in the name of a file or folder."""
TOP_LEVEL: dict[str, Any] = {
    "seeds": Seeds,
    "insight": Literal["none", "light", "full"],
    "output_dir": str,
    "start_from": str | None,
    "rerun": bool,
    "debug": bool,
    "progress": Literal["auto", "rich", "plain", "none"],
    "tags": Tags,
}
"""The settings outside the groups, with their types."""
FIGURES = {"style": FigureStyle}
"""The settings of the node `figures`, with their types."""


def top_level_mistakes(resolved: Mapping[str, Any]) -> list[str]:
    """Every mistake in the settings outside the groups, and every key that is none."""
    known = [*TOP_LEVEL, *GROUPS, "figures"]
    unknown = [key for key in resolved if key not in known]
    mistakes = [f"{key}={shown(resolved[key])}: there is no such setting.{_meant(key, resolved, known)}" for key in unknown]
    for key, hint in TOP_LEVEL.items():
        try:
            value = convert(resolved.get(key), hint)
        except ValueError as error:
            mistakes.append(f"{key}={shown(resolved.get(key))}: {error}")
            continue
        if key == "seeds" and len(set(value)) < len(value):
            mistakes.append(f"seeds={shown(value)}: must be different whole numbers, as in seeds=[0,1,2]")
        if key in ("output_dir", "start_from") and value is not None and not value.strip():
            mistakes.append(f"{key}=: must name a folder")
    return mistakes + _figures(resolved.get("figures"))


def _meant(key: str, resolved: Mapping[str, Any], known: Sequence[str]) -> str:
    """Proposes what was meant by a setting at the top that is none: settings of that name in components, one at the top that is
    nearly it, settings with that word in their name, the nearest of all."""
    groups = [*GROUPS, "figures"]
    names = [(group, str(name)) for group in groups if isinstance(node := resolved.get(group), Mapping) for name in node]
    own = {f"{group}.{name}": name for group, name in names if name not in ("_target_", "streams")}
    exact = [full for full, name in own.items() if name == key]
    typo = nearest_name(key, known, cutoff=0.7)
    of_words = [full for full, name in own.items() if key in name.split("_")]  # lr: algo.inner_lr
    by_name = {name: full for full, name in own.items()} | {name: name for name in known}
    near = nearest_name(key, by_name)
    meant = exact or [name for name in (typo,) if name] or of_words or ([] if near is None else [by_name[near]])
    return f" Did you mean {' or '.join(meant)}?" if meant else ""


def _figures(node: Any) -> list[str]:
    """The mistakes in the node `figures`."""
    if not isinstance(node, Mapping):
        return [f"figures={shown(node)}: must have the setting style, as in figures.style=paper"]
    mistakes = [
        f"figures.{shown(key)}={shown(value)}: there is no such setting.{nearest(str(key), FIGURES)}"
        for key, value in node.items()
        if key not in FIGURES
    ]
    for key, hint in FIGURES.items():
        try:
            convert(node.get(key), hint)
        except ValueError as error:
            mistakes.append(f"figures.{key}={shown(node.get(key))}: {error}")
    return mistakes


def bad_path(key: str, value: Any) -> list[str]:
    """The message for a text that cannot be a path, whatever is on the disk."""
    if not isinstance(value, str):
        return []  # `convert` reports it
    try:
        parts = Path(value).expanduser().parts
    except RuntimeError:
        return [f"{key}={shown(value)}: there is no home folder of that user"]
    if "\0" in value or any(len(os.fsencode(part)) > LONGEST_NAME for part in parts):
        return [f"{key}={shown(value)}: a folder's name has at most {LONGEST_NAME} bytes, none of them 0"]
    return []

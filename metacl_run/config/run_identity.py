"""The id of a run: a digest of everything that can change its result."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metacl_run.config.components import GROUPS
from metacl_run.core.digest import hex_digest
from metacl_run.core.version import __version__

IGNORED_BY_RUN_ID = ("logger", "output_dir", "rerun", "progress", "tags", "figures")
"""Top-level keys that cannot change a run's result. `ignored_by_run_id` has the fields of components."""
UNUSED_UNLESS_SET = ("debug", "start_from")
"""Top-level keys that have no part in a run's id where they are false or null, as before they existed."""
RUN_ID_LENGTH = 12


def run_id(resolved: Mapping[str, Any], ignored: Sequence[str], fingerprint: str = "") -> str:
    """A hash of everything that can change the result: the resolved config without the keys `ignored`, the version, and the
    fingerprint of the data's source."""
    settings = {key: value for key, value in resolved.items() if key not in ignored}
    for group in GROUPS:
        if isinstance(node := settings.get(group), Mapping):
            settings[group] = {key: value for key, value in node.items() if f"{group}.{key}" not in ignored}
    content = {"version": __version__, "config": settings} | ({"data": fingerprint} if fingerprint else {})
    text = json.dumps(content, sort_keys=True)
    return hex_digest(text, RUN_ID_LENGTH)


def ignored_by_run_id(parts: Mapping[str, Any]) -> list[str]:
    """Full keys of what cannot change the result: `IGNORED_BY_RUN_ID`, fields with metadata identity=False, and fields whose
    identity is the name of a switch that is off, so that runs without it have the id that they had before it existed."""
    groups = sorted(parts.keys() - set(IGNORED_BY_RUN_ID))
    fields = _fields({group: parts[group] for group in groups})
    return [*IGNORED_BY_RUN_ID, *(key for key, component, field in fields if not _identifies(component, field))]


def without_effect(parts: Mapping[str, Any]) -> list[str]:
    """Full keys of the settings of components that can change no result. One whose identity is a switch can, where it switches
    itself on."""
    return [key for key, _, field in _fields(parts) if field.metadata.get("identity") is False]


def _fields(parts: Mapping[str, Any]) -> Iterator[tuple[str, Any, dataclasses.Field[Any]]]:
    """Every setting of components by group: its full key, the component that has it, its field."""
    for group, part in parts.items():
        for component in (part, part.source) if group == "data" else (part,):
            for field in dataclasses.fields(component):
                yield f"{group}.{field.name}", component, field


def _identifies(component: Any, field: dataclasses.Field[Any]) -> bool:
    identity = field.metadata.get("identity", True)
    return bool(getattr(component, identity) if isinstance(identity, str) else identity)

"""The id of a run: a digest of everything that can change its result."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
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
    ignored = list(IGNORED_BY_RUN_ID)
    for group in sorted(parts.keys() - set(IGNORED_BY_RUN_ID)):
        components = [parts[group], *([parts[group].source] if group == "data" else [])]
        fields = [(component, field) for component in components for field in dataclasses.fields(component)]
        ignored += [f"{group}.{field.name}" for component, field in fields if not _identifies(component, field)]
    return ignored


def _identifies(component: Any, field: dataclasses.Field[Any]) -> bool:
    identity = field.metadata.get("identity", True)
    return bool(getattr(component, identity) if isinstance(identity, str) else identity)

"""Which kind of protocol a run is of: what every reader of a run asks before it shows a number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

ProtocolKind = Literal["continual_meta", "meta_continual", "online"]


def kind_of(summary: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """The kind as the summary says it.

    Summaries of earlier versions do not: then it is the module of the protocol's class, since an option of the user's may have
    any name; failing that the option's name.
    """
    if "protocol_kind" in summary:
        return str(summary["protocol_kind"])
    protocol = config.get("protocol")
    parts = str(protocol.get("_target_", "")).split(".") if isinstance(protocol, Mapping) else []
    named = [part for part in parts if part in get_args(ProtocolKind)]
    return named[0] if named else str(summary.get("protocol", ""))

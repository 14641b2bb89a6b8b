"""The kind of a run's protocol, which decides how its numbers are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

ProtocolKind = Literal["continual_meta", "meta_continual", "online"]


def kind_of(summary: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Returns the kind of protocol that the summary names.

    Summaries of earlier versions do not name it. Then it is the module of the protocol's class, since an option of the user's
    may have any name; if that is not known either, the option's name.
    """
    if "protocol_kind" in summary:
        return str(summary["protocol_kind"])
    protocol = config.get("protocol")
    parts = str(protocol.get("_target_", "")).split(".") if isinstance(protocol, Mapping) else []
    kinds = [part for part in parts if part in get_args(ProtocolKind)]
    return kinds[0] if kinds else str(summary.get("protocol", ""))

"""The kinds of protocols, whatever an option is called."""

from __future__ import annotations

from typing import Literal

ProtocolKind = Literal["continual_meta", "meta_continual", "online", "osaka"]

"""A user's algorithm whose step waits for the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from metacl_run.algorithms.continual_meta.maml import Maml


@dataclass(frozen=True, kw_only=True)
class WaitingMaml(Maml):
    """MAML that looks at its loss after every meta-update."""

    def meta_update(self, *arguments: Any) -> Any:
        state, metrics = super().meta_update(*arguments)
        assert metrics["loss"].item() > 0
        return state, metrics

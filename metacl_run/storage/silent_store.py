"""What stands for the run's directory on a rank that leaves it to rank 0 (see `ranks.py`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


class SilentStore:
    """Takes what a training loop hands to `RunStore` and keeps nothing."""

    position = 0
    """Bytes of records; rank 0 counts them."""

    def write_matrix(self, matrix: np.ndarray, *, transductive: bool = False) -> None:
        pass

    def write_matrix_row(self, row: int, scores: np.ndarray) -> None:
        pass

    def open_records(self, position: int) -> None:
        pass

    def record(self, record: dict[str, Any]) -> None:
        pass

    def save_checkpoint(self, content: dict[str, Any]) -> None:
        pass

    def check_records(self, last_unit: int) -> None:
        pass

    def load_checkpoint(self, check: Callable[[Any], None]) -> tuple[dict[str, Any] | None, list[str]]:
        """Nothing: where a run goes on from is asked of rank 0."""
        return None, []

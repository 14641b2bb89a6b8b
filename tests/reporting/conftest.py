"""Run directories as storage/store.py leaves them, made from formulas so that tests know what must be in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.stored_runs import build_run


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """`make_run(tasks=5, replicates=3)` gives a fresh run directory; see `build_run`."""

    def make(**settings: Any) -> Path:
        return build_run(tmp_path / "run", **settings)

    return make

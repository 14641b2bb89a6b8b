"""Scripts of the repository as modules."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


def script_module(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Imports scripts/NAME.py anew."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module(name)

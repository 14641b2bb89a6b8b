"""Options that run the code of another one with other settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from metacl_run.config.option_files import OptionFiles

OWN_STATE = ("anml", "joint", "meta_sgd", "vr_mcl")
"""Variants whose settings change what a learner keeps, or what it reads."""


def variants_are_slow(names: Iterable[str]) -> list[Any]:
    """Algorithms as parameters of a test: of those with one class, all but the first and `OWN_STATE` are marked slow."""
    files, classes, parameters = OptionFiles(), set[str | None](), []
    for name in names:
        target = files.option("algo", name).target
        is_variant = target in classes and name not in OWN_STATE
        classes.add(target)
        parameters.append(pytest.param(name, marks=[pytest.mark.slow] if is_variant else []))
    return parameters

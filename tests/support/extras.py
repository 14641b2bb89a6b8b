"""Tests of what needs the package of an extra are skipped where it is not installed."""

from __future__ import annotations

import importlib.util

import pytest

OF_EXTRAS = {"wordllama": "wordllama", "metaworld": "metaworld", "half_cheetah": "gymnasium"}
"""Words in the name of an option, or in a command, that needs a package of an extra."""


def marks_of(words: str) -> list[pytest.MarkDecorator]:
    """A mark for every package that is missing for what is named."""
    absent = [package for word, package in OF_EXTRAS.items() if word in words and importlib.util.find_spec(package) is None]
    return [pytest.mark.skip(f"{package} is not installed") for package in absent]

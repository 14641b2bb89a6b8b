"""The source code of components of the user's own, which a run keeps: its id follows from settings alone.

A file that a component's module imports is not looked at.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable

PACKAGES = frozenset({"metacl_run", "torch", "torchvision"})
"""Whose code `environment.describe` knows by its version or commit."""


def own_code(components: Iterable[object]) -> dict[str, str]:
    """Returns the source of every module that a component's class or one of its bases is in, by name, but for `PACKAGES`, the
    standard library, and what has no source."""
    sources = {}
    for module in {base.__module__ for component in components for base in type(component).__mro__}:
        if module.partition(".")[0] in PACKAGES | sys.stdlib_module_names:
            continue
        try:
            sources[module] = inspect.getsource(sys.modules[module])
        except (OSError, TypeError, KeyError):
            continue
    return dict(sorted(sources.items()))

"""The source code of components of the user's own, which a run keeps: its id follows from settings alone.

Modules that a component's module imports are looked at where they lie in its folder.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

PACKAGES = frozenset({"metacl_run", "torch", "torchvision"})
"""Whose code `environment.describe` knows by its version or commit."""


def own_code(components: Iterable[object]) -> dict[str, str]:
    """Returns the source by name of every module that a component's class or one of its bases is in, and of what these modules
    import from their own folders; but for `PACKAGES`, the standard library, and what has no source."""
    sources: dict[str, str] = {}
    waiting = [module for part in components for base in type(part).__mro__ if (module := sys.modules.get(base.__module__))]
    while waiting:
        module = waiting.pop()
        if module.__name__ in sources or module.__name__.partition(".")[0] in PACKAGES | sys.stdlib_module_names:
            continue
        try:
            sources[module.__name__] = inspect.getsource(module)
        except (OSError, TypeError):
            continue
        folder = _folder(module)
        waiting += [other for other in _imported(module) if folder is not None and _folder(other, folder) is not None]
    return dict(sorted(sources.items()))


def _imported(module: ModuleType) -> Iterator[ModuleType]:
    """The modules that a module has imported, or has taken something from."""
    for value in vars(module).values():
        if isinstance(value, ModuleType):
            yield value
        elif (other := sys.modules.get(str(getattr(value, "__module__", "")))) is not None:
            yield other


def _folder(module: ModuleType, above: Path | None = None) -> Path | None:
    """The folder of a module's file; None where it has none, or one that is not `above` or below it."""
    if not (file := getattr(module, "__file__", None)):
        return None
    folder = Path(file).resolve().parent
    return folder if above is None or folder.is_relative_to(above) else None

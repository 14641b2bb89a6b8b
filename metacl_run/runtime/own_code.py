"""The source code of components of the user's own, which a run keeps: its id follows from settings alone.

Modules that a component's module imports are looked at where they lie below the folder that it is imported from.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

from metacl_run.runtime.source_imports import imports_of

PACKAGES = frozenset({"metacl_run", "torch", "torchvision"})
"""Whose code `environment.describe` knows by its version or commit."""
INSTALLED = frozenset({"site-packages", "dist-packages"})
"""Folders of packages that were installed, which may lie below a folder of the user's."""


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
            source = inspect.getsource(module)
        except (OSError, TypeError):
            continue
        sources[module.__name__] = source
        waiting += [other for other in (*_taken_from(module), *imports_of(module, source)) if _belongs(other, module)]
    return dict(sorted(sources.items()))


def _taken_from(module: ModuleType) -> Iterator[ModuleType]:
    """The modules that a module's variables are, or come from, however they came there."""
    for value in vars(module).values():
        if isinstance(value, ModuleType):
            yield value
        elif (other := sys.modules.get(str(getattr(value, "__module__", "")))) is not None:
            yield other


def _belongs(other: ModuleType, module: ModuleType) -> bool:
    """Whether a module is of the same package as another, or lies below the folder that the other is imported from."""
    file, own = (getattr(part, "__file__", None) for part in (other, module))
    if not (file and own):
        return False
    if other.__name__.partition(".")[0] == module.__name__.partition(".")[0]:
        return True
    place, own_place = Path(file).resolve(), Path(own).resolve()
    depth = module.__name__.count(".") + (own_place.stem == "__init__")
    root = own_place.parents[min(depth, len(own_place.parents) - 1)]
    return place.is_relative_to(root) and INSTALLED.isdisjoint(place.parts)

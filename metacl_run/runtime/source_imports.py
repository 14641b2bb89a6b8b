"""The modules that a module's source imports, wherever it does so, without importing any."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType


def imports_of(module: ModuleType, source: str) -> Iterator[ModuleType]:
    """Yields what the source of a module imports, also in functions, and the packages above it; a module that is not loaded
    yet comes without content. What cannot be located, or is not written in Python, is left out."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # the file was changed after its module was loaded
        return
    package = module.__name__ if hasattr(module, "__path__") else module.__name__.rpartition(".")[0]
    names = {name for node in ast.walk(tree) for name in _names(node, package)}
    above = {".".join(words[: end + 1]) for words in (name.split(".") for name in names) for end in range(len(words))}
    for name in sorted(above):
        if (imported := sys.modules.get(name) or _unloaded(name)) is not None:
            yield imported


def _names(node: ast.AST, package: str) -> list[str]:
    """The full names that a node may import; among them are names of what is in a module, which are no modules."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    try:
        origin = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
    except ImportError:  # a relative import outside a package
        return []
    return [origin, *(f"{origin}.{alias.name}" for alias in node.names)]


def _unloaded(name: str) -> ModuleType | None:
    spec = _spec(name)
    return importlib.util.module_from_spec(spec) if spec is not None and isinstance(spec.loader, SourceFileLoader) else None


def _spec(name: str) -> ModuleSpec | None:
    """Where a module is; unlike `importlib.util.find_spec`, it does not import the packages above it."""
    above = name.rpartition(".")[0]
    if not above:
        return PathFinder.find_spec(name)
    package = getattr(sys.modules.get(above), "__spec__", None) or _spec(above)
    places = None if package is None else package.submodule_search_locations
    return None if places is None else PathFinder.find_spec(name, places)

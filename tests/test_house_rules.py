"""The house rules that no linter has (CONTRIBUTING.md): length of files and functions, names of files, words."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
PACKAGE = sorted((REPOSITORY / "metacl_run").rglob("*.py"))
FILES = [*PACKAGE, *(path for folder in ("docs", "scripts", "tests") for path in sorted((REPOSITORY / folder).rglob("*.py")))]
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 400, 60
PARTICIPLES = {"asked", "dealt", "each", "found", "given", "held", "judged", "kept", "said", "taken", "told", "wanted"}
"""No name of a variable: it should say what was found, given, kept."""
ROLES = {"insight_subject", "predictor", "protocol", "scorer", "setup", "trainer"}
"""Files that every protocol's package may have one of."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_a_file_is_not_too_long(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_a_function_fits_a_screen() -> None:
    functions = [(path, node) for path in PACKAGE for node in nodes(path) if isinstance(node, ast.FunctionDef)]
    assert functions
    long = [f"{path.name}: {node.name}" for path, node in functions if lines(node) > MOST_LINES_OF_A_FUNCTION]
    assert not long


def test_no_variable_is_a_participle() -> None:
    stored = [(path, node) for path in PACKAGE for node in nodes(path) if isinstance(node, ast.Name | ast.arg)]
    names = [(path, node.id if isinstance(node, ast.Name) else node.arg) for path, node in stored]
    assert not {f"{path.relative_to(REPOSITORY)}: {name}" for path, name in names if name in PARTICIPLES}


def test_no_two_files_have_one_name() -> None:
    """pytest imports tests by their stem alone, so two of one name end the whole suite."""
    tests = [path for path in FILES if path.stem.startswith("test_")]
    counts = Counter(path.stem for path in [*PACKAGE, *tests] if not path.stem.startswith("__"))
    assert not {name for name, count in counts.items() if count > 1} - ROLES


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def lines(node: ast.FunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1

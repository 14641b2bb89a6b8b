"""Text for a terminal of some width: paragraphs, docstrings whose formulas keep their lines, and columns of two."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterator, Sequence

NARROWEST, WIDEST = 60, 100
ITEM = re.compile(r"\s*\d+\. ")


def page_width() -> int:
    """The width to wrap text at: that of the terminal, within what can be read."""
    return min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)


def paragraph(text: str, width: int, indent: int = 0) -> str:
    """Wraps a paragraph; words keep their hyphens, and long words, as paths are, stay whole."""
    return _filled(text, width, " " * indent, " " * indent)


def hanging(text: str, width: int, first: int, following: int) -> str:
    """Wraps a text whose first line is indented less than the others."""
    return _filled(text, width, " " * first, " " * following)


def entry(name: str, text: str, width: int, column: int) -> str:
    """A name and beside it, from a column on, a wrapped text; under it where the name is too long."""
    beside = f"{name.ljust(column)}" if len(name) < column - 1 else f"{name}\n{' ' * column}"
    body = _filled(text, width, " " * column, " " * column).lstrip()
    return f"{beside}{body}".rstrip()


def docstring(text: str, width: int) -> str:
    """Wraps the paragraphs and numbered items of a docstring; other indented lines, as formulas are, keep their lines."""
    return "\n".join("" if not block else _wrapped_block(block, width) for block in _blocks(text.splitlines()))


def _blocks(lines: Sequence[str]) -> Iterator[list[str]]:
    """Divides lines into what is wrapped together; an empty list stands for an empty line."""
    block: list[str] = []
    for line in lines:
        if not line.strip():
            yield from [block, []] if block else [[]]
            block = []
        elif block and _continues(block, line):
            block.append(line)
        else:
            yield from [block] if block else []
            block = [line]
    if block:
        yield block


def _continues(block: Sequence[str], line: str) -> bool:
    first = block[0]
    if ITEM.match(line):
        return False
    if ITEM.match(first) or not _indent(first):
        return ITEM.match(first) is not None or not _indent(line)
    return _indent(line) > _indent(first)


def _wrapped_block(block: Sequence[str], width: int) -> str:
    first = block[0]
    following = _indent(block[1]) if len(block) > 1 else _indent(first) + 4
    if item := ITEM.match(first):
        following = len(item[0])
    elif not _indent(first):
        following = 0
    text = " ".join([first.strip(), *(line.strip() for line in block[1:])])
    return _filled(text, width, " " * _indent(first), " " * following)


def _filled(text: str, width: int, first: str, following: str) -> str:
    return textwrap.fill(
        text, width, initial_indent=first, subsequent_indent=following, break_on_hyphens=False, break_long_words=False
    )


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())

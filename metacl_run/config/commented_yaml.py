"""Reads a YAML file with what a YAML reader drops: comments, and the text of every value."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from metacl_run.core.errors import ConfigError, shown

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Entry(NamedTuple):
    """A value of a file."""

    value: Any
    text: str
    """As it is written, on one line."""
    comment: str


class CommentedYaml(NamedTuple):
    """The content of a file, a mapping, with its comments."""

    content: dict[str, Any]
    head: list[str]
    """The lines of the comment at its top."""
    entries: dict[str, Entry]
    """By key; those of a mapping inside another under dotted keys, a.b."""


def read(path: Path) -> CommentedYaml:
    """Reads a file. Raises ConfigError where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
        loader = _LOADER(text)
        node = loader.get_single_node()
        content = {} if node is None else loader.construct_document(node)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read: {shown(' '.join(str(error).split()))}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must have settings, key: value")
    lines = text.splitlines()
    length = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    head = [line.lstrip("# ").rstrip() for line in lines[:length]]
    return CommentedYaml(content, head, {} if node is None else _entries(node, content, lines, ""))


def _entries(node: yaml.MappingNode, content: Any, lines: Sequence[str], prefix: str) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        if key.value not in content:  # a key that is no text, as 1 or null
            continue
        if isinstance(value, yaml.MappingNode) and value.value:
            entries |= _entries(value, content[key.value], lines, f"{name}.")
        else:
            entries[name] = Entry(content[key.value], _text(value, lines), _comment(key, value, lines))
    return entries


def _text(value: yaml.Node, lines: Sequence[str]) -> str:
    """The text of a value, on one line and without comments."""
    start, end = value.start_mark, value.end_mark
    if start.line == end.line:
        return str(lines[start.line][start.column : end.column].strip())
    rows = [lines[start.line][start.column :], *lines[start.line + 1 : end.line]]
    rows += [lines[end.line][: end.column]] if end.line < len(lines) else []
    return " ".join(re.sub(r"\s+#.*$", "", row).strip() for row in rows).strip()


def _comment(key: yaml.Node, value: yaml.Node, lines: Sequence[str]) -> str:
    """The comment lines directly above a key, and the comment after its value with the lines that continue it."""
    column, last = key.start_mark.column, value.end_mark.line
    first = above = key.start_mark.line
    while above > 0 and lines[above - 1].startswith(f"{' ' * column}#"):
        above -= 1
    words = list(lines[above:first]) if above > 0 else []  # the comment at the head of a file is about the whole
    after = lines[last][value.end_mark.column :].lstrip() if last < len(lines) else ""
    if after.startswith("#"):
        words.append(after)
        for line in lines[last + 1 :]:
            if not (line.startswith(" " * (column + 1)) and line.lstrip().startswith("#")):
                break
            words.append(line)
    return " ".join(line.strip().lstrip("# ") for line in words)

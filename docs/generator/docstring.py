"""Turns the docstring of a component's module into Markdown: prose, equations as code, numbered differences."""

from __future__ import annotations

import re
from typing import NamedTuple


class Docstring(NamedTuple):
    """A module's docstring in parts."""

    title: str
    """Its first paragraph, on one line."""
    commands: list[str]
    """The commands that it shows, without comments."""
    body: str
    """What follows, as Markdown."""
    differences: str
    """The numbered differences from the paper or its code, as Markdown with a heading; "" where it has none."""


def parse(text: str) -> Docstring:
    """Divides a docstring into its parts."""
    title, _, rest = text.strip().partition("\n\n")
    main, heading, listed = _split_differences(rest)
    commands = [line.split("#")[0].strip() for line in main.splitlines() if line.startswith("    metacl-run ")]
    main = "\n".join(line for line in main.splitlines() if not line.startswith("    metacl-run "))
    differences = f"### {heading}\n\n{_numbered(listed)}" if heading else ""
    return Docstring(_linked(" ".join(title.split())), commands, _markdown(main), differences)


def _split_differences(text: str) -> tuple[str, str, list[str]]:
    """The text without its differences, their heading, and their lines."""
    match = re.search(r"^(Differences? from [^\n:]+):\n((?: .*\n?)+)", text, flags=re.MULTILINE)
    if match is None:
        return text, "", []
    return text[: match.start()] + text[match.end() :], match[1], match[2].splitlines()


def _numbered(lines: list[str]) -> str:
    """A numbered list; a line without a number goes on with the one before."""
    items: list[str] = []
    for line in lines:
        if match := re.match(r"\s*\d+\. (.*)", line):
            items.append(match[1])
        elif items:
            items[-1] += f" {line.strip()}"
    return _linked("\n".join(f"{number}. {item}" for number, item in enumerate(items, 1)))


def _linked(text: str) -> str:
    """Text with links from arXiv numbers."""
    return re.sub(r"arXiv\s(\d{4}\.\d{5})", r"[arXiv \1](https://arxiv.org/abs/\1)", text)


def _markdown(text: str) -> str:
    """Paragraphs as they are, lines indented by two as a list of definitions, lines indented by four as code."""
    blocks: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        kind = _kind(line, blocks[-1][0] if blocks else "")
        if not blocks or blocks[-1][0] != kind:
            blocks.append((kind, []))
        blocks[-1][1].append(line)
    return "\n\n".join(_block(kind, lines) for kind, lines in blocks if kind != "blank")


def _kind(line: str, before: str) -> str:
    if not line.strip():
        return "blank"
    if line.startswith("    "):
        return "list" if before == "list" else "code"
    return "list" if line.startswith("  ") else "prose"


def _block(kind: str, lines: list[str]) -> str:
    if kind == "code":
        return "```text\n" + "\n".join(line[4:] for line in lines) + "\n```"
    if kind == "prose":
        return _linked("\n".join(lines))
    items: list[str] = []
    for line in lines:
        if line.startswith("    ") and items:
            items[-1] += f" {line.strip()}"
        else:
            name, _, meaning = line.strip().partition("  ") if "  " in line.strip() else line.strip().partition(" ")
            items.append(f"- `{name}`: {meaning.strip()}")
    return _linked("\n".join(items))

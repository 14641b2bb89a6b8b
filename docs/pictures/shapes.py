"""Shapes of the documentation's pictures, as SVG elements with real text that take the page's colour."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

BLUE, ORANGE, GREEN, GREY = "#4c8bf5", "#e8912d", "#3aa76d", "#8a8f98"


def text(x: float, y: float, words: str, *, size: int = 13, anchor: str = "start", bold: bool = False, colour: str = "") -> str:
    """Text whose baseline begins, ends or has its middle at (x, y)."""
    weight = ' font-weight="600"' if bold else ""
    fill = colour or "currentColor"
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" fill="{fill}"{weight}>{escape(words)}</text>'


def lines(x: float, y: float, rows: Sequence[str], *, size: int = 12, anchor: str = "start", step: int = 16) -> str:
    """Several lines of text below each other."""
    return "".join(text(x, y + number * step, row, size=size, anchor=anchor) for number, row in enumerate(rows))


def box(x: float, y: float, width: float, height: float, *, colour: str = GREY, strength: float = 0.18) -> str:
    """A rectangle with round corners, filled with a pale colour."""
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="4" fill="{colour}" fill-opacity="{strength:g}" '
        f'stroke="{colour}" stroke-width="1"/>'
    )


def labelled(x: float, y: float, width: float, height: float, words: str, *, colour: str = GREY, size: int = 12) -> str:
    """A box with one line of text in its middle."""
    return box(x, y, width, height, colour=colour) + text(x + width / 2, y + height / 2 + 4, words, size=size, anchor="middle")


def arrow(x1: float, y1: float, x2: float, y2: float, *, colour: str = "currentColor") -> str:
    """A horizontal or vertical line with a head at its end."""
    if y1 == y2:
        back = 6 if x2 > x1 else -6
        head = f"{x2:g},{y2:g} {x2 - back:g},{y2 - 4:g} {x2 - back:g},{y2 + 4:g}"
    else:
        back = 6 if y2 > y1 else -6
        head = f"{x2:g},{y2:g} {x2 - 4:g},{y2 - back:g} {x2 + 4:g},{y2 - back:g}"
    return (
        f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{colour}" stroke-width="1.2"/>'
        f'<polygon points="{head}" fill="{colour}"/>'
    )


def picture(width: int, height: int, title: str, *elements: str) -> str:
    """A whole SVG file."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}" '
        f'font-family="system-ui, sans-serif">\n' + "\n".join(elements) + "\n</svg>\n"
    )

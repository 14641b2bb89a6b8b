"""Writes figures as files; the same figure gives the same bytes."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable
from pathlib import Path

from matplotlib.figure import Figure

from metacl_run.core.files import write_atomically

# matplotlib would add its version, its address and the time of day.
METADATA: dict[str, dict[str, str | None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
"""By suffix of the files that `save` can write."""
ON_SCREEN = ("png", "svg")
"""A PDF takes twice as long as both, since its fonts are cut to the letters that it needs."""
PAPER_SUFFIXES = ("pdf", "svg")
"""Of figures for a paper."""


FALLBACKS = {
    "STIXGeneral": "STIXGeneral, 'Times New Roman', Times, serif",
    "DejaVu Sans": "'DejaVu Sans', Verdana, sans-serif",
}
"""By the first font of a text in an SVG, the fonts that take its place, of much the same width: an SVG names its fonts and does
not contain them, and labels in a wider one would be cut."""


def save(figure: Figure, stem: Path, suffixes: Iterable[str] = ON_SCREEN) -> list[Path]:
    """Writes <stem>.png and .svg, or the files of other `suffixes`; returns their paths."""
    paths = []
    for suffix in suffixes:
        content = io.BytesIO()
        with warnings.catch_warnings():  # a name may be in a script that no font has: it is drawn as boxes
            warnings.filterwarnings("ignore", r"Glyph \d+", UserWarning)
            figure.savefig(content, format=suffix, metadata=METADATA[suffix])
        paths.append(stem.with_name(f"{stem.name}.{suffix}"))
        written = content.getvalue()
        write_atomically(paths[-1], with_fallback_fonts(written) if suffix == "svg" else written)
    return paths


def with_fallback_fonts(svg: bytes) -> bytes:
    """Returns an SVG whose texts name other fonts for a reader who lacks theirs. Only tags change: a text may hold anything."""

    def fallback(tag: re.Match[str]) -> str:
        first = tag[2].split(",")[0].strip("' ")
        return tag[1] + FALLBACKS.get(first, tag[2])

    return re.sub(r"(<[^<>]*font-family: )([^;\"<>]*)", fallback, svg.decode()).encode()

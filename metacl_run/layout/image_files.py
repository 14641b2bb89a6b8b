"""Writes figures as files; the same figure gives the same bytes."""

from __future__ import annotations

import io
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


def save(figure: Figure, stem: Path, suffixes: Iterable[str] = ON_SCREEN) -> list[Path]:
    """Writes <stem>.png and .svg, or the files of other `suffixes`; returns their paths."""
    paths = []
    for suffix in suffixes:
        content = io.BytesIO()
        with warnings.catch_warnings():  # a name may be in a script that no font has: it is drawn as boxes
            warnings.filterwarnings("ignore", r"Glyph \d+", UserWarning)
            figure.savefig(content, format=suffix, metadata=METADATA[suffix])
        paths.append(stem.with_name(f"{stem.name}.{suffix}"))
        write_atomically(paths[-1], content.getvalue())
    return paths

"""The stamp of a report: the summary it was drawn from, and the figures that go with it. It shows, without reading the run,
whether the report and the figures are complete and up to date."""

from __future__ import annotations

import re
from pathlib import Path

from metacl_run.core.bounds import FigureStyle
from metacl_run.core.digest import hex_digest
from metacl_run.core.files import regular_file
from metacl_run.storage.run_files import CAPTIONS, FIGURES, PAPER, REPORT, SUMMARY

HEAD_BYTES = 65536
"""The stamp is within so many bytes from the start of a report."""
STAMP = re.compile(r'<meta name="metacl-run-drawn" content="([0-9a-f]+)((?: [\w./-]+)*)">')


def stamp(run_dir: Path) -> str:
    """Returns the content of the stamp of a report that is written now, after its figures. Other files beside them, which a
    user may have put there, are nothing of the report."""
    from metacl_run.layout.image_files import ON_SCREEN, PAPER_SUFFIXES  # both load matplotlib, which `is_drawn` does without
    from metacl_run.reporting import figures

    names = [f"{figure.name}.{suffix}" for figure in figures.FIGURES for suffix in ON_SCREEN]
    for_paper = [f"{figure.name}.{suffix}" for figure in figures.FIGURES for suffix in PAPER_SUFFIXES]
    names += [f"{PAPER}/{name}" for name in (*for_paper, CAPTIONS)]
    return " ".join([_digest(run_dir), *sorted(name for name in names if (run_dir / FIGURES / name).exists())])


def is_drawn(run_dir: Path, style: FigureStyle = "screen") -> bool:
    """Whether the report exists, was drawn from the present summary, and none of its figures is missing.

    With the style "paper", whether those for a paper were drawn too; with "none" nothing is missing.
    """
    if style == "none":
        return True
    try:
        regular_file(run_dir / REPORT)
        with open(run_dir / REPORT, "rb") as file:
            match = STAMP.search(file.read(HEAD_BYTES).decode(errors="replace"))
        if match is None or match[1] != _digest(run_dir):
            return False
        names = match[2].split()
        if style == "paper" and f"{PAPER}/{CAPTIONS}" not in names:
            return False
        return all(regular_file(run_dir / FIGURES / name).st_size for name in names)
    except OSError:
        return False


def _digest(run_dir: Path) -> str:
    return hex_digest((run_dir / SUMMARY).read_bytes(), 16)

"""The stamp that a report carries: which summary it was drawn from, and the figures that go with it. So it can be told, without
reading the run, whether what was drawn of it is whole and up to date."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from metacl_run.core.files import regular_file

HEAD_BYTES = 65536
"""It stands within as many bytes from the start of a report."""
MARK = re.compile(r'<meta name="metacl-run-drawn" content="([0-9a-f]+)((?: [\w.-]+)*)">')


def stamp(summary: Path, figures: Iterable[Path]) -> str:
    """The content of the stamp of a report that is written now, after its figures."""
    return " ".join([_digest(summary), *sorted(path.name for path in figures)])


def is_drawn(run_dir: Path) -> bool:
    """Whether the report is there, was drawn from the summary that is there, and no figure of it is missing."""
    try:
        regular_file(run_dir / "report.html")
        with open(run_dir / "report.html", "rb") as file:
            found = MARK.search(file.read(HEAD_BYTES).decode(errors="replace"))
        if found is None or found[1] != _digest(run_dir / "summary.json"):
            return False
        return all(regular_file(run_dir / "figures" / name).st_size for name in found[2].split())
    except OSError:
        return False


def _digest(summary: Path) -> str:
    return hashlib.sha256(summary.read_bytes()).hexdigest()[:16]

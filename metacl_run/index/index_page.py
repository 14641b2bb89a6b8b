"""Writes index.html over an output_dir: every run with a link to its report, and the tables, comparisons and searches.

The page is made from the runs' summaries. A row is taken over from the present page while the files of its run are the same, so
that thousands of runs cost the time of looking at their folders. Processes that write at once replace the page as a whole, and
each looks again after it has written: the last one leaves a page with every run.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import math
import os
import time
from pathlib import Path

from markupsafe import Markup

from metacl_run.core.errors import StorageError
from metacl_run.core.files import read_at_most, write_text_atomically
from metacl_run.core.version import __version__
from metacl_run.index.other_pages import other_pages
from metacl_run.index.output_folder import run_stamps
from metacl_run.index.run_row import HEADINGS, RunRow, make_row, read_row
from metacl_run.index.settings_order import with_settings_in_order
from metacl_run.layout.page import stylesheet, template, text_of
from metacl_run.storage.paper_table_sizes import sizes_under

INDEX = "index.html"
FORM = f"{__version__}-5"
"""The form of a row. A page of another form is written anew; raise the last number where `run_row` changes what it writes."""
MARK = '<meta name="metacl-run-index" content="'
MARK_WITHIN = 4096
"""Bytes from the start of a page that hold its mark."""
LARGEST = 2**28
MOST_ATTEMPTS = 5
"""Times to write, while runs of other processes end."""

log = logging.getLogger("metacl_run")


def refresh_index(output_dir: Path, *, unless_younger: float = 0.0) -> None:
    """Writes the index at the end of a run, if the folder can be written to. A failure is logged and costs nothing else.

    Args:
        unless_younger: seconds; a page that was written more recently stays. For jobs of a sweep, which writes it at its end.
    """
    if not os.access(output_dir, os.W_OK) or _age(output_dir / INDEX) < unless_younger:
        return
    try:
        write_index(output_dir)
    except Exception as error:  # the results stand all the same
        log.warning("the index was not written: %s", error)


def write_index(output_dir: Path) -> tuple[Path, int]:
    """Writes index.html. Returns its path and the number of runs in it.

    Raises:
        StorageError: the folder cannot be written, or holds an index.html of another program.
    """
    path = output_dir / INDEX
    written: dict[str, str] | None = None
    for _ in range(MOST_ATTEMPTS):
        stamps = run_stamps(output_dir)
        if stamps == written:
            break
        write_text_atomically(path, _page(output_dir, stamps, _earlier_rows(path)))
        written = stamps
    return path, len(stamps)


def _age(path: Path) -> float:
    """Seconds since a file was written; infinite where there is none."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return math.inf


def _earlier_rows(path: Path) -> dict[str, RunRow]:
    """Returns the rows of the present page by run; none where it has another form or is cut short.

    Raises:
        StorageError: another program wrote it.
    """
    try:
        text = read_at_most(path, LARGEST).decode(errors="replace")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StorageError(f"{path}: cannot be replaced ({error.strerror})") from None
    if text and MARK not in text[:MARK_WITHIN]:
        raise StorageError(
            f"{path}: was not written by metacl-run, so it is not replaced. Move it, then give the command again"
        )
    if f'{MARK}{FORM}"' not in text[:MARK_WITHIN]:
        return {}
    rows = (read_row(line) for line in text.split("\n"))
    return {row.run: row for row in rows if row is not None}


def _page(output_dir: Path, stamps: dict[str, str], earlier: dict[str, RunRow]) -> str:
    sizes = sizes_under(output_dir)
    rows = []
    for run, files in stamps.items():
        size = sizes.get(run, "")
        stamp = f"{files}-{size}"
        row = earlier.get(run)
        rows.append(row if row is not None and row.stamp == stamp else make_row(output_dir, run, stamp, size))
    rows = with_settings_in_order(rows)
    rows.sort(key=lambda row: row.run)
    rows.sort(key=lambda row: row.ended or "9", reverse=True)  # runs under way first, then the latest
    script = text_of("metacl_run.index", "index.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return template("metacl_run.index", "index_page.html.j2").render(
        form=FORM,
        stylesheet=stylesheet(),
        script=Markup(script),
        digest=digest,
        folder=output_dir.absolute().name,
        headings=HEADINGS,
        rows=Markup("\n".join(row.line for row in rows)),
        num_runs=len(rows),
        pages=other_pages(output_dir),
    )

"""The tables, comparisons and searches that lie in an output_dir beside its runs."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from metacl_run.core.files import read_at_most
from metacl_run.storage.run_files import CONFIG, REPORT, SUMMARY

PLACES = {"table": ("tables/*/*/table.html",), "comparison": (REPORT, f"*/{REPORT}", f"*/*/{REPORT}")}
SEARCHES = "searches/*/search.json"
TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)
TITLE_WITHIN = 4096
"""Bytes from the start of a page that hold its title."""
LARGEST_SEARCH = 2**24


class OtherPage(NamedTuple):
    """A page or file that is no run's."""

    kind: str
    title: str
    address: str
    """Relative to the folder of the index."""


def other_pages(output_dir: Path) -> list[OtherPage]:
    """Returns the pages in the order of their kinds and places. Files that cannot be read are left out."""
    pages = []
    for kind, patterns in PLACES.items():
        for path in sorted(path for pattern in patterns for path in output_dir.glob(pattern)):
            if any((path.parent / name).exists() for name in (SUMMARY, CONFIG)):
                continue  # a run that somebody moved here
            title = _title(path)
            if title is not None:
                place = path.relative_to(output_dir)
                pages.append(OtherPage(kind, f"{title} ({place.parent.as_posix()})", quote(place.as_posix())))
    for path in sorted(output_dir.glob(SEARCHES)):
        title = _search(path)
        if title is not None:
            pages.append(OtherPage("search", title, quote(path.relative_to(output_dir).as_posix())))
    return pages


def _title(path: Path) -> str | None:
    try:
        with open(path, "rb") as file:
            match = TITLE.search(file.read(TITLE_WITHIN).decode(errors="replace"))
    except OSError:
        return None
    return " ".join(html.unescape(match[1]).split()) if match else path.parent.name


def _search(path: Path) -> str | None:
    """Returns what was searched, how many trials there are, and the best of them."""
    try:
        content = json.loads(read_at_most(path, LARGEST_SEARCH))
        best = content["best"]
        score = "none has completed" if best is None else f"best {content['metric']} {best['value']:.4g} on validation data"
        return f"{'; '.join(content['searched'])}: {len(content['trials'])} trials, {score}"
    except (OSError, ValueError, KeyError, TypeError):
        return None

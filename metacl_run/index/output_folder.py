"""Finds the runs of an output_dir, and the state of their files, without reading them. Loads no numpy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from metacl_run.core.digest import hex_digest
from metacl_run.storage.find_runs import BESIDE_CONFIG
from metacl_run.storage.run_files import CONFIG, EVALUATIONS, REPORT, SUMMARY

NO_RUNS = ("tables", "searches")
"""Folders of an output_dir that hold other things than runs."""


def run_stamps(output_dir: Path) -> dict[str, str]:
    """Returns the stamp of every run by "data/algo/run id": it changes when the summary or one of an evaluation changes, or a
    report comes or goes.

    Only folders at that depth are looked at, so that an output_dir that holds other things costs little.
    """
    stamps = {}
    for data in _folders(str(output_dir)):
        if data.name in NO_RUNS:
            continue
        for algo in _folders(data.path):
            for run in _folders(algo.path):
                stamp = _stamp(run.path)
                if stamp is not None:
                    stamps[f"{data.name}/{algo.name}/{run.name}"] = stamp
    return stamps


def _folders(path: str) -> Iterator[os.DirEntry[str]]:
    """Yields the folders in a folder that may be named on a page, links to folders included; none where it cannot be read."""
    try:
        with os.scandir(path) as content:
            entries = [entry for entry in content if not entry.name.startswith(".") and entry.name.isprintable()]
    except OSError:
        return
    for entry in entries:
        try:
            if entry.is_dir():
                yield entry
        except OSError:  # a link to itself
            continue


def _stamp(run: str) -> str | None:
    """Returns None for a folder that holds no run."""
    has_report = int(os.path.exists(os.path.join(run, REPORT)))
    try:
        summary = os.stat(os.path.join(run, SUMMARY))
    except OSError:
        begun = any(os.path.exists(os.path.join(run, name)) for name in BESIDE_CONFIG)
        return f"begun-{has_report}" if begun and os.path.exists(os.path.join(run, CONFIG)) else None
    own = f"{summary.st_mtime_ns:x}-{summary.st_size:x}-{has_report}"
    evaluated = [f"{name} {_stamp(os.path.join(run, EVALUATIONS, name))}" for name in evaluations_of(run)]
    return f"{own}-{hex_digest(' '.join(evaluated))}" if evaluated else own


def evaluations_of(run: str) -> list[str]:
    """Returns the names of the folders with evaluations of a run, in their order."""
    folder = os.path.join(run, EVALUATIONS)
    return sorted(entry.name for entry in _folders(folder)) if os.path.isdir(folder) else []

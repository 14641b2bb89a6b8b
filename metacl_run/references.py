"""The BibTeX of a stored run: of its file references.bib, else by the names of its options."""

from __future__ import annotations

import shlex

from metacl_run.config.citations import bibtex
from metacl_run.core.files import write_text_atomically
from metacl_run.storage.optional_file import read_optional
from metacl_run.storage.run_files import REFERENCES
from metacl_run.storage.stored_run import StoredRun

GROUPS = ("algo", "data", "model", "protocol")


def bibtex_of(run: StoredRun) -> str:
    """Returns the BibTeX of the methods, data, network and metrics of a run, and of this package.

    Raises:
        StorageError: the directory holds no run, or one of its files is broken.
    """
    stored = read_optional(run.directory / REFERENCES, lambda path: path.read_text(encoding="utf-8"))
    return _of_options(run) if stored is None else stored


def write(run: StoredRun) -> None:
    """Writes references.bib into a run's directory, unless it is there."""
    path = run.directory / REFERENCES
    if not path.exists():
        write_text_atomically(path, _of_options(run))


def _of_options(run: StoredRun) -> str:
    """Returns the BibTeX by the names of the run's options, with those of the folder that its command had in --config-dir."""
    options = [(group, str(run.summary[group])) for group in GROUPS if run.summary.get(group)]
    words = shlex.split(run.summary["command"] or "")
    places = [place for place, word in enumerate(words[:-1]) if word == "--config-dir"]
    return bibtex(options, words[places[0] + 1] if places else None)

"""The papers behind options: keys in a line "# Cite: finn2017maml, li2017metasgd" at the head of an option's YAML file, and the
BibTeX entries in references.bib beside the groups."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from metacl_run.config.option_files import OptionFiles
from metacl_run.core.errors import ConfigError, nearest

REFERENCES = "references.bib"
SOFTWARE = "metacl_run"
"""The key of this package's own entry."""
GROUPS = ("algo", "data", "model", "protocol", "table")
"""The groups whose options cite papers, in the order of the entries."""
START = re.compile(r"@\w+\s*\{\s*([^,\s]+)\s*,")


def bibtex(options: Iterable[tuple[str, str]], user_folder: str | None = None) -> str:
    """Returns the BibTeX of this package and of the papers that options cite, each entry once, under the options that cite it.

    An option without papers and a key without an entry are comments in it.

    Args:
        options: (group, option) pairs, as ("algo", "maml").
        user_folder: of --config-dir; its options and its references.bib count too.
    """
    files = OptionFiles(user_folder)
    entries = references(files.folders)
    citing: dict[str, list[str]] = {SOFTWARE: []}
    remarks = []
    for group, option in dict.fromkeys(options):
        try:
            keys = files.option(group, option).cites
        except ConfigError:  # its file has been moved or broken since the run
            keys = ()
        for key in keys:
            citing.setdefault(key, []).append(f"{group}={option}")
        if not keys:
            remarks.append(f"% {group}={option} names no paper.")
    missing = [key for key in citing if key not in entries]
    remarks += [f"% {', '.join(citing[key])} cites {key}, which is in no {REFERENCES}." for key in missing]
    texts = ["\n".join([*(f"% {option}" for option in citing[key]), entries[key]]) for key in citing if key in entries]
    return "\n\n".join([*texts, *(["\n".join(remarks)] if remarks else [])]) + "\n"


def references(folders: Iterable[Path]) -> dict[str, str]:
    """Returns the entries of every references.bib in the folders by their keys; of a key in several, the first."""
    entries: dict[str, str] = {}
    for folder in folders:
        path = folder / REFERENCES
        if path.is_file():
            for key, entry in entries_of(path.read_text(encoding="utf-8")).items():
                entries.setdefault(key, entry)
    return entries


def entries_of(text: str) -> dict[str, str]:
    """Returns the entries of a BibTeX text by their keys, each from its @ to the brace that closes it, without empty lines."""
    entries: dict[str, str] = {}
    for match in START.finditer(text):
        depth = 0
        for place in range(match.start(), len(text)):
            depth += (text[place] == "{") - (text[place] == "}")
            if depth == 0 and text[place] == "}":
                entries[match[1]] = re.sub(r"\n\s*\n", "\n", text[match.start() : place + 1])
                break
    return entries


def check_option(group: str, option: str, user_folder: str | None) -> None:
    """Refuses what is no option that could cite. Raises ConfigError."""
    if group not in GROUPS:
        raise ConfigError(
            f"cite={group}/{option}: there is no group {group}.{nearest(group, GROUPS)} It is one of {', '.join(GROUPS)}"
        )
    OptionFiles(user_folder).option(group, option)

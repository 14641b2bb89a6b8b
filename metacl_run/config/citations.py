"""The papers behind options: keys in a line "# Cite: finn2017maml, li2017metasgd" at the head of an option's YAML file, and the
BibTeX entries in references.bib beside the groups. Knows neither Hydra nor OmegaConf."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from metacl_run.config.components import config_dir
from metacl_run.core.errors import ConfigError, nearest

REFERENCES = "references.bib"
SOFTWARE = "metacl_run"
"""The key of this package's own entry."""
GROUPS = ("algo", "data", "model", "protocol", "table")
"""The groups whose options cite papers, in the order of the entries."""
CITE = re.compile(r"^# Cite:(.*)$", re.MULTILINE)
START = re.compile(r"@\w+\s*\{\s*([^,\s]+)\s*,")


def bibtex(options: Iterable[tuple[str, str]], user_folder: str | None = None) -> str:
    """Returns the BibTeX of this package and of the papers that options cite, each entry once, under the options that cite it.

    An option without papers and a key without an entry are comments in it.

    Args:
        options: (group, option) pairs, as ("algo", "maml").
        user_folder: of --config-dir; its options and its references.bib count too.
    """
    folders = _folders(user_folder)
    entries = references(folders)
    citing: dict[str, list[str]] = {SOFTWARE: []}
    remarks = []
    for group, option in dict.fromkeys(options):
        keys = cited(group, option, folders)
        for key in keys:
            citing.setdefault(key, []).append(f"{group}={option}")
        if not keys:
            remarks.append(f"% {group}={option} names no paper.")
    missing = [key for key in citing if key not in entries]
    remarks += [f"% {', '.join(citing[key])} cites {key}, which is in no {REFERENCES}." for key in missing]
    texts = ["\n".join([*(f"% {option}" for option in citing[key]), entries[key]]) for key in citing if key in entries]
    return "\n\n".join([*texts, *(["\n".join(remarks)] if remarks else [])]) + "\n"


def cited(group: str, option: str, folders: Sequence[Path]) -> list[str]:
    """Returns the keys that an option cites; if its file has no such line, those of the options that it builds on."""
    path = next((path for folder in folders if (path := folder / group / f"{option}.yaml").is_file()), None)
    if path is None:
        return []
    text = path.read_text(encoding="utf-8")
    lines = CITE.findall(text)
    if lines:
        return [key.strip() for line in lines for key in line.split(",") if key.strip()]
    defaults = (yaml.safe_load(text) or {}).get("defaults", [])
    parents = [item for item in defaults if isinstance(item, str) and item not in ("_self_", option)]
    return list(dict.fromkeys(key for parent in parents for key in cited(group, parent, folders)))


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
    names = sorted({path.stem for folder in _folders(user_folder) for path in (folder / group).glob("*.yaml")})
    if option not in names:
        hint = nearest(option, names)
        raise ConfigError(f"cite={group}/{option}: there is no such option.{hint} Options: {', '.join(names)}")


def _folders(user_folder: str | None) -> list[Path]:
    return [config_dir(), *([Path(user_folder)] if user_folder else [])]

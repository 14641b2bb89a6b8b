"""Completes a command line by the TAB key: commands, groups and their options, and the settings of what is chosen so far.

Hydra installs the shell's side (`metacl-run -sc install=bash`); the words come from here, since a user types data.ways and not
data.streams.<protocol>.ways. Reads YAML files only: an answer takes a fraction of a second.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from glob import glob
from pathlib import Path

from metacl_run.config.choices import settings_of
from metacl_run.config.option_files import GROUPS_TO_CHOOSE, OptionFiles
from metacl_run.core.errors import ConfigError

OF_OPTIONS = ("list", "describe")
"""Commands whose words are groups or options."""
PATHS = ("output_dir", "data.root")


def candidates(line: str, commands: Collection[str], flags: Collection[str]) -> list[str]:
    """What the last word of a line could become; every candidate begins with it.

    Args:
        line: the command line up to the cursor.
        commands, flags: that exist.
    """
    typed = line.split()[1:]
    word = "" if line[-1:].isspace() or not typed else typed.pop()
    sign = "+" * (len(word) - len(word.lstrip("+")))
    folder = next((after for flag, after in itertools.pairwise(typed) if flag in ("-cd", "--config-dir")), None)
    try:
        words = _words(word.removeprefix(sign), typed, commands, flags, OptionFiles(folder))
    except ConfigError:  # an option that does not exist is reported when the command runs
        return []
    return sorted({sign + candidate for candidate in words if candidate.startswith(word.removeprefix(sign))})


def _words(word: str, typed: Sequence[str], commands: Collection[str], flags: Collection[str], files: OptionFiles) -> list[str]:
    if word.startswith("-"):
        return list(flags)
    key, has_value, value = word.partition("=")
    command = next((other for other in typed if not other.startswith("-")), key if has_value else "").partition("=")[0]
    if command in OF_OPTIONS:
        prefix = f"{command}=" if has_value and key == command else ""
        return [f"{prefix}{choice}" for choice in (GROUPS_TO_CHOOSE if command == "list" else _options(files))]
    if has_value and key in GROUPS_TO_CHOOSE:
        earlier, comma, _ = word.rpartition(",")  # of a sweep: algo=maml,reptile
        return [f"{earlier}{comma}{name}" if comma else f"{key}={name}" for name in files.names(key)]
    if has_value and key in (*PATHS, *commands):
        return [f"{key}={path}/" for path in glob(f"{value}*") if Path(path).is_dir()]
    settings = settings_of(typed, files)
    if has_value:
        return [f"{key}={settings[key].text}"] if key in settings else []
    if "." in word:
        return [f"{setting}=" for setting in settings]
    nodes = [f"{first}." if rest else f"{first}=" for first, _, rest in (setting.partition(".") for setting in settings)]
    return [*(() if typed else commands), *(f"{group}=" for group in GROUPS_TO_CHOOSE), *nodes]


def _options(files: OptionFiles) -> list[str]:
    return [f"{group}/{name}" for group in GROUPS_TO_CHOOSE for name in files.names(group)]

"""Lists the options of groups, one a line: `metacl-run list`, `metacl-run list algo`, `metacl-run list algo data`.

A line has the option's name, the protocols that it is for, and the first sentence about it. Options of --config-dir are listed
as well. `metacl-run list algo | grep replay` finds one.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence

from metacl_run.config.option_files import GROUP_WORDS, OptionFile, OptionFiles
from metacl_run.core.errors import ConfigError, nearest, shown

GAP = "  "


def run(words: Sequence[str], user_folder: str | None) -> int:
    """Prints the options of the groups; of all groups where none is named. Raises ConfigError."""
    files = OptionFiles(user_folder)
    groups = list(words) or list(GROUP_WORDS)
    for group in groups:
        if group not in GROUP_WORDS:
            raise ConfigError(
                f"list {shown(group)}: there is no such group.{nearest(group, GROUP_WORDS)} Groups: {', '.join(GROUP_WORDS)}"
            )
    for number, group in enumerate(groups):
        print("\n" * (number > 0) + "\n".join(lines(group, files)))
    return 0


def lines(group: str, files: OptionFiles) -> list[str]:
    """The heading of a group and its options, wrapped for a terminal; one line for each option elsewhere."""
    options = sorted(files.all(group), key=lambda option: (protocols(option, files), option.name))
    rows = [[f"{group}={option.name}", protocols(option, files), option.summary] for option in options]
    heading = f"{group}: {GROUP_WORDS[group]}"
    if not sys.stdout.isatty():
        widths = _widths(rows)
        return [heading, *(_line(row, widths).rstrip() for row in rows)]
    everywhere = ", ".join(files.names("protocol"))
    rows = [
        [name, "every protocol" if ", ".join(sorted(kinds.split(", "))) == everywhere else kinds, text]
        for name, kinds, text in rows
    ]
    widths = _widths(rows)
    width = shutil.get_terminal_size().columns
    indent = sum(width + len(GAP) for width in widths if width)
    wrapped = (
        textwrap.fill(_line(row, widths), max(width - 1, indent + 20), subsequent_indent=" " * indent, break_on_hyphens=False)
        for row in rows
    )
    return [f"\033[1m{heading}\033[0m", *wrapped]


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(row[column]) for row in rows) for column in (0, 1)]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    columns = [cell.ljust(width) for cell, width in zip(row, widths, strict=False) if width]
    return GAP.join([*columns, row[-1]])


def protocols(option: OptionFile, files: OptionFiles) -> str:
    """The kinds of protocols that an algorithm or data are for; "" for other options."""
    if option.group == "algo":
        return files.algo_kind(option)
    return ", ".join(option.streams)

"""The commands beside a run: `metacl-run list algo`, `metacl-run describe=algo/maml`. One module of this room for each.

A module of a command has one function,

    run(words: Sequence[str], user_folder: str | None) -> int

which receives the words after the command's own, and the folder of --config-dir, and returns the exit status. It raises
UserError for a mistake. A module is imported when its command is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

from metacl_run.core.errors import ConfigError, nearest, shown

COMMANDS: dict[str, str] = {
    "list": "metacl_run.commands.listing_options",
    "describe": "metacl_run.commands.describing",
    "schema": "metacl_run.commands.schemas",
    "cite": "metacl_run.commands.citing",
    "evaluate": "metacl_run.commands.evaluating",
    "index": "metacl_run.commands.index",
}
"""The word of a command, and its module."""


class Command(NamedTuple):
    """A command as it was typed: `list algo` and `list=algo` are the same."""

    name: str
    words: list[str]

    def run(self, user_folder: str | None) -> int:
        """Runs it and returns the exit status. Raises UserError."""
        return int(import_module(COMMANDS[self.name]).run(self.words, user_folder))


def command_of(words: Sequence[str]) -> Command | None:
    """The command of a command line without flags; None: it starts runs. As `describe=algo/maml` it may stand behind settings.

    Raises:
        ConfigError: it begins with a word that is neither a command nor a setting.
    """
    first = next(
        (place for place, word in enumerate(words) if word.partition("=")[1] and word.partition("=")[0] in COMMANDS), 0
    )
    words = [*words[first : first + 1], *words[:first], *words[first + 1 :]]
    name, has_value, value = words[0].partition("=") if words else ("", "", "")
    if name not in COMMANDS:
        if name.isalpha() and not has_value:
            raise ConfigError(
                f"{shown(name)}: there is no such command.{nearest(name, COMMANDS)} Commands: {', '.join(COMMANDS)}. "
                "Settings have the form key=value, as in algo=maml data.shots=5"
            )
        return None
    return Command(name, [*([value] if has_value else []), *words[1:]])

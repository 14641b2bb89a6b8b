"""Says from which file a setting comes that nobody typed, for messages about settings that a class does not have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from metacl_run.config.choices import explicit_choices
from metacl_run.config.option_files import OptionFiles
from metacl_run.config.options import is_shipped
from metacl_run.core.errors import ConfigError


class SettingOrigins:
    """Where the settings of options of the user's own come from. Reads files only when it is asked.

    Args:
        choices: the option chosen in each group.
        overrides: lines of the command.
        user_folder: of --config-dir.
    """

    def __init__(self, choices: Mapping[str, str], overrides: Sequence[str], user_folder: str | None) -> None:
        self._choices, self._overrides, self._user_folder = choices, overrides, user_folder

    def words(self, group: str, name: str) -> str:
        """The file of an option that the chosen one builds on, if the setting comes from there; "" where it does not."""
        option = self._choices.get(group, "custom")
        if self._user_folder is None or is_shipped(group, option) or f"{group}.{name}" in self._chosen:
            return ""
        try:
            written = self._files.option(group, option).settings.get(name)
        except ConfigError:  # Hydra composes some files that `OptionFiles` does not read
            return ""
        if written is None or written.option == option:
            return ""
        return f"{written.option}.yaml, which {option}.yaml builds on"

    @cached_property
    def _files(self) -> OptionFiles:
        return OptionFiles(self._user_folder)

    @cached_property
    def _chosen(self) -> set[str]:
        """Full keys of the settings that were typed, or that a preset has."""
        typed = {line.partition("=")[0].lstrip("+") for line in self._overrides}
        preset = explicit_choices(self._overrides).get("experiment")
        try:
            return typed if preset is None else typed | set(self._files.option("experiment", preset).settings)
        except ConfigError:
            return typed

"""Which options the words of a command line choose, told from the files alone: for help and for completion, without Hydra."""

from __future__ import annotations

from collections.abc import Sequence

from metacl_run.config.option_files import GROUPS_TO_CHOOSE, OptionFiles


def explicit_choices(words: Sequence[str]) -> dict[str, str]:
    """The options that words of the form group=name choose; the last one of a group counts."""
    pairs = (word.split("=", 1) for word in words if "=" in word)
    return {group: name for group, name in pairs if group in GROUPS_TO_CHOOSE and name not in ("", "null")}


def all_choices(words: Sequence[str], files: OptionFiles) -> dict[str, str]:
    """The option of every group that a run of these words has; what an option chooses counts before the defaults.

    Raises:
        ConfigError: one of the options does not exist.
    """
    explicit = explicit_choices(words)
    chosen = dict(files.defaults)
    if "experiment" in explicit:
        explicit = {**files.option("experiment", explicit["experiment"]).chooses, **explicit}
    algo = files.option("algo", explicit.get("algo", chosen["algo"]))
    chosen |= algo.chooses
    chosen |= files.option("data", explicit.get("data", chosen["data"])).chooses
    return {**chosen, **explicit}

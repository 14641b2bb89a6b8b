"""Which options the words of a command line choose, and the settings that follow: from the files alone, without Hydra."""

from __future__ import annotations

from collections.abc import Sequence

from metacl_run.config import commented_yaml
from metacl_run.config.components import GROUPS, config_dir
from metacl_run.config.option_files import GROUPS_TO_CHOOSE, OptionFile, OptionFiles, Written, no_such_option
from metacl_run.core.errors import ConfigError


def explicit_choices(words: Sequence[str]) -> dict[str, str]:
    """The options that words of the form group=name choose; the last one of a group counts."""
    pairs = (word.split("=", 1) for word in words if "=" in word)
    return {group: name for group, name in pairs if group in GROUPS_TO_CHOOSE and name not in ("", "null")}


def names(choice: str) -> list[str]:
    """The options of a choice, which may be a list: logger=[wandb,csv]."""
    return choice.strip("[]").split(",")


def all_choices(words: Sequence[str], files: OptionFiles) -> dict[str, str]:
    """The option of every group that a run of these words has; what an option chooses counts before the defaults, and what the
    algorithm chooses before the data, whose choice counts before the protocol's.

    Raises:
        ConfigError: one of the options does not exist.
    """
    explicit = explicit_choices(words)
    chosen = dict(files.defaults)
    if "experiment" in explicit:
        explicit = {**files.option("experiment", explicit["experiment"]).chooses, **explicit}
    name = explicit.get("algo", chosen["algo"])
    if name not in files.names("algo"):
        raise ConfigError(unknown_algo(name, words, files))
    algo = files.option("algo", name)
    chosen_by_algo = {**chosen, **algo.chooses, **explicit}
    by_data = files.option("data", chosen_by_algo["data"]).chooses
    by_protocol = files.option("protocol", chosen_by_algo["protocol"]).chooses
    return {**chosen, **by_protocol, **by_data, **algo.chooses, **explicit}


def unknown_algo(name: str, words: Sequence[str], files: OptionFiles) -> str:
    """The message for an algorithm that does not exist. Where the words choose a protocol or data, it names, of all algorithms,
    those that fit."""
    try:
        choice, kinds = _kinds_chosen(words, files)
        fitting = [option.name for option in files.all("algo") if files.algo_kind(option) in kinds]
    except ConfigError:  # of another option, which is no reason to name no algorithm
        fitting = []
    where, known = (f" for {choice}", fitting) if fitting else ("", files.names("algo"))
    return no_such_option("algo", name, known, where)


def _kinds_chosen(words: Sequence[str], files: OptionFiles) -> tuple[str, set[str]]:
    """The word that chooses a protocol, else data, and the kinds of protocol that it leaves; none where no word does."""
    explicit = explicit_choices(words)
    if "protocol" in explicit:
        return f"protocol={explicit['protocol']}", {files.kind(explicit["protocol"])}
    if "data" in explicit:
        return f"data={explicit['data']}", set(files.option("data", explicit["data"]).streams)
    return "", set()


def settings_of(words: Sequence[str], files: OptionFiles) -> dict[str, Written]:
    """All settings of a run of these words, by full keys, with what they are before the words change them.

    Raises:
        ConfigError: an option does not exist.
    """
    choices = all_choices(words, files)
    kind = files.kind(choices["protocol"])
    settings = {
        f"{option.prefix}{key}": value
        for group in GROUPS
        for option in (files.option(group, name) for name in names(choices[group]))
        for key, value in settings_under(option, kind).items()
    }
    return {**settings, **top_level_settings()}


def settings_under(option: OptionFile, kind: str) -> dict[str, Written]:
    """The settings of an option; of data, with those of the stream for one kind of protocol and no other's."""
    streams = {key for section in option.streams.values() for key in section.settings}
    own = {key: value for key, value in option.settings.items() if key not in streams}
    section = option.streams[kind].settings if kind in option.streams else {}
    return {
        **own,
        **{key: option.settings[key].over(value) if key in option.settings else value for key, value in section.items()},
    }


def top_level_settings() -> dict[str, Written]:
    """The settings outside the groups, those of the command among them: seeds, sweep.status."""
    entries = commented_yaml.read(config_dir() / "config.yaml").entries
    return {
        key: Written(*value, "config") for key, value in entries.items() if key != "defaults" and not key.startswith("hydra")
    }

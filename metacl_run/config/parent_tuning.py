"""Settings that an algorithm has for some model or data, and that an option of the user's own which builds on it does not get.

Their files (`configs/pair`, `configs/tuned`) are chosen by the name of the algorithm's option.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from metacl_run.config.choices import explicit_choices
from metacl_run.config.option_files import OptionFile, OptionFiles
from metacl_run.config.options import is_shipped
from metacl_run.core.errors import ConfigError, shown


class _Tuning(NamedTuple):
    """The place of an algorithm's settings for a model, for data or for a family of data."""

    group: str
    end: str
    """What the file's name has after that of the algorithm."""
    subject: str
    """What the settings are for, as in data=sinusoid."""

    def option(self, algo: str) -> str:
        return f"{algo}_{self.end}"

    def file(self, algo: str) -> str:
        return f"{self.group}/{self.option(algo)}.yaml"


def tuning_of_parents(
    choices: Mapping[str, str], overrides: Sequence[str], resolved: Mapping[str, Any], user_folder: str | None
) -> list[str]:
    """A warning for each file with settings of the option that the algorithm builds on which the run does not have. There is
    none for a setting that is typed, or that a preset, a file for this algorithm or the algorithm's own option chooses.

    Reads no file where the algorithm ships.

    Args:
        choices: the option chosen in each group.
        overrides: lines of the command.
        resolved: the config of the run.
        user_folder: of --config-dir.
    """
    if user_folder is None or is_shipped("algo", choices["algo"]):
        return []
    try:
        return list(_warnings(choices, overrides, resolved, OptionFiles(user_folder)))
    except ConfigError:  # Hydra composes some files that `OptionFiles` does not read
        return []


def _warnings(
    choices: Mapping[str, str], overrides: Sequence[str], resolved: Mapping[str, Any], files: OptionFiles
) -> Iterator[str]:
    own = files.option("algo", choices["algo"])
    chosen = {line.partition("=")[0].lstrip("+") for line in overrides}
    if (preset := explicit_choices(overrides).get("experiment")) is not None:
        chosen |= set(_full_keys(files.option("experiment", preset)))
    tunings: dict[tuple[_Tuning, str], dict[str, Any]] = {}
    for tuning in _tunings(choices, files):
        if tuning.option(own.name) in files.names(tuning.group):
            chosen |= set(_full_keys(files.option(tuning.group, tuning.option(own.name))))
        elif (parent := _nearest_tuned(own, tuning, files)) is not None:
            values = _full_keys(files.option(tuning.group, tuning.option(parent)))
            for earlier in tunings.values():  # this file counts before them
                for key in values:
                    earlier.pop(key, None)
            tunings[tuning, parent] = values
    for (tuning, parent), values in tunings.items():
        unchosen = {key: value for key, value in values.items() if key not in chosen}
        starts = _full_keys(files.option("algo", parent)), _full_keys(own)
        lacking = [
            f"{key}={shown(value)}"
            for key, value in unchosen.items()
            if starts[0].get(key) == starts[1].get(key) and _differs(resolved, key, value)
        ]
        if lacking:
            yield (
                f"algo={own.name}: builds on {parent}, but does not get what {parent} has for {tuning.subject}: "
                f"{' '.join(lacking)} ({tuning.file(parent)}); give {'it' if len(lacking) == 1 else 'them'} on the command "
                f"line, or copy that file to {tuning.file(own.name)} in the folder of --config-dir"
            )


def _tunings(choices: Mapping[str, str], files: OptionFiles) -> list[_Tuning]:
    """In the order in which Hydra merges them: the last one counts before the others."""
    model, data = choices["model"], choices["data"]
    family = files.option("data", data).chooses.get("family", "none")
    return [
        _Tuning("pair", model, f"model={model}"),
        _Tuning("tuned", family, f"data={data}"),
        _Tuning("pair", data, f"data={data}"),
    ]


def _nearest_tuned(own: OptionFile, tuning: _Tuning, files: OptionFiles) -> str | None:
    """The nearest option with such a file. One that ships does not get those of the options that it builds on either."""
    names = files.names(tuning.group)
    for parent in reversed(own.parents):
        if tuning.option(parent) in names:
            return parent
        if is_shipped("algo", parent):
            break
    return None


def _full_keys(option: OptionFile) -> dict[str, Any]:
    return {f"{option.prefix}{key}": written.value for key, written in option.settings.items()}


def _differs(resolved: Mapping[str, Any], key: str, value: Any) -> bool:
    """Whether the run has such a setting, with another value."""
    node: Any = resolved
    for name in key.split("."):
        if not isinstance(node, Mapping) or name not in node:
            return False
        node = node[name]
    if isinstance(value, str) and isinstance(node, float):  # 1e-3 is a text in YAML 1.1, and a number for OmegaConf
        try:
            return float(value) != node
        except ValueError:
            return True
    return bool(node != value)

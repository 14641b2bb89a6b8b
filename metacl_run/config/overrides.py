"""Reads overrides, `key=value`, by Hydra's grammar, within bounds, and sorts them by what they set."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, RangeSweep

from metacl_run.core.errors import ConfigError, shown

COMMAND_NODES = ("sweep", "search", "table")
"""Nodes of the config that belong to the command, not to a run."""
MAY_BE_NONE = ("experiment", "table")
FOLLOWING = {
    "pair": "follows from algo, model and data; set its keys one by one",
    "family": "follows from data, which choose their family; set what its file in configs/tuned sets, as in algo.lr=0.1",
    "tuned": "follows from algo and the family of the data; set its keys one by one, as in algo.lr=0.1",
}
"""Groups whose options follow from those of others, with what to do instead of a choice."""
LISTS = {"logger": "logger=[wandb,csv]", "tags": "tags=[pilot,thesis]"}
"""Settings that several values may be chosen of together, with an example."""
LONGEST, LONGEST_KEY, DEEPEST = 20_000, 200, 20
"""Characters of an override and of its key, and levels of brackets or dots in it."""
MOST_JOBS = 10_000
MOST_OVERRIDES = 1000


class Parts(NamedTuple):
    """The overrides of a command line, sorted by what they set."""

    hydra: list[str]
    command: list[str]
    """Of `COMMAND_NODES`."""
    run: list[Override]


def split(overrides: Sequence[str], loader: ConfigLoader) -> Parts:
    """Reads overrides and sorts them. Raises ConfigError."""
    if len(overrides) > MOST_OVERRIDES:
        raise ConfigError(
            f"{shown(overrides[0])} ...: more than {MOST_OVERRIDES} settings; put them into a file of --config-dir"
        )
    parts = Parts([], [], [])
    for line in overrides:
        override = read(line, loader)
        line, first = str(override.input_line), first_of(override)
        if override.key_or_group in MAY_BE_NONE and override.type == OverrideType.CHANGE and override.value() is None:
            _undo(parts, override.key_or_group)
            continue
        if first == "hydra":
            parts.hydra.append(line)
        elif first in COMMAND_NODES:
            if override.type == OverrideType.DEL:
                raise ConfigError(f"{line}: {first} cannot be left out; its settings have no effect on a single run")
            if override.is_sweep_override():
                raise ConfigError(f"{line}: takes one value; it belongs to the command, not to its runs")
            parts.command.append(line)
        else:
            if override.key_or_group in LISTS and override.is_sweep_override():
                raise ConfigError(
                    f"{line}: changes no result, so it is not swept. Several are a list, {LISTS[override.key_or_group]}"
                )
            parts.run.append(override)
    return parts


def _undo(parts: Parts, key: str) -> None:
    """Removes an earlier choice: the last one counts."""
    parts.command[:] = [line for line in parts.command if line.partition("=")[0] != key]
    parts.run[:] = [override for override in parts.run if override.key_or_group != key]


def first_of(override: Override) -> str:
    """The group or node that an override sets."""
    return str(re.split(r"[./@]", override.key_or_group, maxsplit=1)[0])


def read(line: str, loader: ConfigLoader) -> Override:
    """One override by Hydra's grammar; a plain value with letters that the grammar does not know is taken as if quoted.

    Raises:
        ConfigError: it cannot be read, or is too long or too deep.
    """
    _refuse_monsters(line)
    if not re.match(r"[^=]+=|~", line):
        raise ConfigError(
            f"{shown(line) or repr(line)}: settings have the form key=value, as in algo=maml data.shots=5; "
            "`metacl-run --help` lists the groups and their choices"
        )
    parser = OverridesParser.create(config_loader=loader)
    try:
        return parser.parse_overrides([line])[0]
    except Exception as error:  # antlr and Hydra raise many kinds for a line that they cannot read
        key, _, value = line.partition("=")
        if value and not re.search(r"[\[\]{}()'\",$\\\s]", value):
            try:
                return parser.parse_overrides([f"{key}='{value}'"])[0]
            except Exception:  # the key is at fault; the first error says so
                pass
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ConfigError(f"{shown(line)}: cannot be read as key=value: {shown(lines[0])}{_quotes_hint(line)}") from None


def _quotes_hint(line: str) -> str:
    """What helps where a value has letters that mean something to Hydra: quotes that the shell leaves."""
    key, _, value = line.partition("=")
    if "'" in value or '"' in value or not re.search(r"[\s()\[\]{},=$#]", value):
        return ""
    return f". A value with spaces, brackets, commas or = needs quotes of its own: \"{key}='{value}'\""


def _refuse_monsters(line: str) -> None:
    key = line.partition("=")[0]
    depth, deepest = 0, key.count(".") + key.count("/")
    for letter in line[: LONGEST + 1]:
        depth += (letter in "[{(") - (letter in "]})")
        deepest = max(deepest, depth)
    for length, most, words in (
        (len(key), LONGEST_KEY, "a key has at most {} characters"),
        (len(line), LONGEST, "has more than {} characters; put it into a file of --config-dir"),
        (deepest, DEEPEST, "is nested more than {} levels deep"),
    ):
        if length > most:
            raise ConfigError(f"{shown(line)}: {words.format(most)}")


def points(override: Override) -> int:
    """Counts the values of an override of several without listing them. Raises ConfigError where there are none."""
    value: Any = override.value()
    try:
        if isinstance(value, RangeSweep):
            start, stop, step = value.start or 0, value.stop or 0, value.step
            count = math.ceil((stop - start) / step) if math.isfinite(stop - start) else MOST_JOBS + 1
        else:
            count = sum(1 for _ in itertools.islice(override.sweep_iterator(), MOST_JOBS + 1))
    except Exception as error:  # a step of 0, a glob over what is no group, numbers too large to be counted
        raise ConfigError(f"{override.input_line}: gives no values to sweep over: {shown(error)}") from None
    if count < 1:
        raise ConfigError(f"{override.input_line}: gives no values to sweep over")
    return count


def swept_keys(overrides: Sequence[Override]) -> list[str]:
    """Returns the keys that have several values."""
    return [str(override.key_or_group) for override in overrides if override.is_sweep_override()]


def grid(overrides: Sequence[Override], *, multirun: bool) -> list[list[str]]:
    """The overrides of every job: one list, or one for every point of a sweep's grid. Raises ConfigError."""
    jobs = 1
    for override in overrides:
        if not override.is_sweep_override():
            continue
        if not multirun:
            raise ConfigError(f"{override.input_line}: several values are a sweep; start it with metacl-run -m")
        if not override.is_discrete_sweep():
            raise ConfigError(f"{override.input_line}: an interval has no end of values; search.trials=N searches it")
        jobs *= points(override)
        if jobs > MOST_JOBS:
            raise ConfigError(f"{override.input_line}: makes more than {MOST_JOBS} jobs; split the sweep up")
    if not multirun:
        return [[str(override.input_line) for override in overrides]]
    return [list(job) for batch in BasicSweeper.split_arguments(list(overrides), max_batch_size=None) for job in batch]


def is_plain_name(option: str) -> bool:
    """Whether a text can be the name of an option, which is the name of its file and a part of the run's directory."""
    return re.fullmatch(r"\w[\w+.-]*", option) is not None and not option.endswith((".yaml", ".yml"))


def forced(override: Override, groups: Sequence[str]) -> str:
    """Returns key=value as ++key=value, so that a misspelt key composes and `load` reports it with all other mistakes."""
    line, key = str(override.input_line), override.key_or_group
    is_choice = _is_choice(key, groups)
    if first_of(override) in FOLLOWING:
        raise ConfigError(f"{line}: {FOLLOWING[first_of(override)]}")
    if is_choice and override.type == OverrideType.DEL:
        raise ConfigError(f"{line}: every run has one option of a group; choose another, as in {key}=NAME")
    if is_choice:
        value = override.value()
        names = value if isinstance(value, list) and key in LISTS else [value]
        if any(isinstance(name, str) and not is_plain_name(name) for name in names):
            raise ConfigError(f"{line}: must be the plain name of an option, without folders or ending")
        if not all(isinstance(name, str) for name in names) and (value is not None or key not in MAY_BE_NONE):
            raise ConfigError(f"{line}: a group takes one option by its name, as in {key}=NAME; `metacl-run --help` lists them")
    return f"++{line.lstrip('+')}" if is_setting(override, groups) else line


def is_setting(override: Override, groups: Sequence[str]) -> bool:
    """Whether it gives a setting of the run a value; else it chooses an option, leaves something out, or is Hydra's own."""
    key = override.key_or_group
    changes = override.type in (OverrideType.CHANGE, OverrideType.ADD, OverrideType.FORCE_ADD)
    return changes and not _is_choice(key, groups) and not key.startswith("hydra")


def _is_choice(key: str, groups: Sequence[str]) -> bool:
    return key.split("/")[0].split("@")[0] in groups and "." not in key

"""The shipped options of a group: which there are, and which fit what. Their files are read once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from metacl_run.config.components import component_class, config_dir
from metacl_run.config.option_files import OptionFiles


def is_shipped(group: str, name: str) -> bool:
    """Whether an option is one of ours. Reads no file, and imports no component."""
    return (config_dir() / group / f"{name}.yaml").is_file()


@cache
def options(group: str) -> Mapping[str, type]:
    """The options of a group that name their class, with the classes: it imports them all."""
    return {option.name: component_class(option.target, group) for option in OptionFiles().all(group) if option.target}


def options_that_are(group: str, interface: type) -> list[str]:
    """The options of a group whose class fulfils an interface."""
    return [name for name, cls in options(group).items() if issubclass(cls, interface)]


def data_for(kind: str) -> list[str]:
    """The options of the group `data` that have a stream for a kind of protocol."""
    return [name for name, kinds in _streams().items() if kind in kinds]


@cache
def _streams() -> Mapping[str, frozenset[str]]:
    """The kinds of protocol that each option of the group `data` has a stream for."""
    return {option.name: frozenset(option.streams) for option in OptionFiles().all("data")}

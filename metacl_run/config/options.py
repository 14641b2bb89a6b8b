"""The shipped options of a group: which there are, and which fit what. Their files are read once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from metacl_run.config.components import component_class, config_dir


@cache
def options(group: str) -> Mapping[str, type]:
    """The options of a group that name their class, with the classes."""
    targets = {path.stem: merged(path).get("_target_") for path in sorted((config_dir() / group).glob("*.yaml"))}
    return {name: component_class(target, group) for name, target in targets.items() if target is not None}


def options_that_are(group: str, interface: type) -> list[str]:
    """The options of a group whose class fulfils an interface."""
    return [name for name, cls in options(group).items() if issubclass(cls, interface)]


def data_for(kind: str) -> list[str]:
    """The options of the group `data` that have a stream for a kind of protocol."""
    return [name for name, kinds in _streams().items() if kind in kinds]


@cache
def _streams() -> Mapping[str, frozenset[str]]:
    """The kinds of protocol that each option of the group `data` has a stream for."""
    paths = sorted((config_dir() / "data").glob("*.yaml"))
    return {path.stem: frozenset(map(str, merged(path).get("streams", {}))) for path in paths}


def merged(path: Path) -> DictConfig:
    """An option's file over the options of its own group that it builds on."""
    node = OmegaConf.load(path)
    assert isinstance(node, DictConfig)
    parents: list[Any] = [item for item in node.pop("defaults", []) if isinstance(item, str) and item != "_self_"]
    together = OmegaConf.merge(*(merged(path.with_name(f"{parent}.yaml")) for parent in parents), node)
    assert isinstance(together, DictConfig)
    return together

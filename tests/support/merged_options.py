"""The file of an option over those that it builds on, as one node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf


def merged(path: Path) -> DictConfig:
    """An option's file over the options of its own group that it builds on."""
    node = OmegaConf.load(path)
    assert isinstance(node, DictConfig)
    parents: list[Any] = [item for item in node.pop("defaults", []) if isinstance(item, str) and item != "_self_"]
    together = OmegaConf.merge(*(merged(path.with_name(f"{parent}.yaml")) for parent in parents), node)
    assert isinstance(together, DictConfig)
    return together

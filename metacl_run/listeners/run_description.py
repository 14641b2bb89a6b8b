"""Describes a run to a logger: its settings without what cannot change the result, and the files that are worth an upload."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from metacl_run.core.errors import ConfigError
from metacl_run.storage.listener import RunInfo
from metacl_run.storage.run_files import CHECKPOINT, CONFIG, MATRIX, METRICS, REPORT, SUMMARY
from metacl_run.storage.stored_run import flat

FILES = (CONFIG, SUMMARY, METRICS, MATRIX, REPORT)
MEGABYTE = 10**6


def require_package(name: str, logger: str, extra: str) -> None:
    """Raises a ConfigError, with the command that installs it, where the package of a logger is missing."""
    if find_spec(name) is None:
        raise ConfigError(f"logger={logger}: needs the package {name}: pip install {extra}")


def choices(info: RunInfo) -> dict[str, str]:
    """Returns the option chosen in each group that says which experiment this is."""
    return {"algo": info.algo, "data": info.data, "model": info.model, "protocol": info.protocol}


def settings(info: RunInfo) -> dict[str, Any]:
    """Returns the config without class paths and without the settings that the run id ignores."""
    return _selected(info.config, set(info.without_effect), "")


def flat_settings(info: RunInfo) -> dict[str, Any]:
    """Returns choices and settings by full keys: {"algo": "maml", "algo.inner_lr": .4, "seeds": [0, 1]}."""
    return {**choices(info), **flat(settings(info))}


def files(directory: Path, checkpoint_mb: float) -> list[Path]:
    """Returns the run's files for an upload; the checkpoint only up to a size."""
    checkpoint = directory / CHECKPOINT
    names = [name for name in FILES if (directory / name).is_file()]
    if checkpoint.is_file() and checkpoint.stat().st_size <= checkpoint_mb * MEGABYTE:
        names.append(CHECKPOINT)
    return [directory / name for name in names]


def _selected(tree: Mapping[str, Any], ignored: set[str], prefix: str) -> dict[str, Any]:
    keys = [key for key in tree if not key.startswith("_") and f"{prefix}{key}" not in ignored]
    return {
        key: _selected(tree[key], ignored, f"{prefix}{key}.") if isinstance(tree[key], Mapping) else tree[key] for key in keys
    }

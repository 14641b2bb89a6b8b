"""The folder of --config-dir: a check of its files, and the import of the modules that lie beside it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from metacl_run.config.components import config_dir
from metacl_run.core.errors import ConfigError

LARGEST_FILE = 2**20
MOST_NODES = 100_000
"""Values of a file, each alias counted as all that it stands for."""
DEEPEST = 50


def check_folder(folder: str | None) -> None:
    """Refuses a folder that is not there or holds no option, an option that has the name of a shipped one, which would be
    chosen in its place, and YAML files that are too large. Modules beside it can be imported from then on.

    Raises:
        ConfigError: naming the folder or the file.
    """
    if folder is None:
        return
    if not Path(folder).is_dir():
        raise ConfigError(f"--config-dir={folder}: there is no such folder")
    try:
        files = sorted(Path(folder).glob("*/*.y*ml"))
        for path in files:
            _check_file(path)
    except OSError as error:
        raise ConfigError(f"--config-dir={folder}: cannot be read: {error.strerror}") from None
    if not files:
        raise ConfigError(f"--config-dir={folder}: holds no option; that of algo=mine is {Path(folder) / 'algo' / 'mine.yaml'}")
    make_importable(folder)


def make_importable(folder: str) -> None:
    """Lets Python import the modules that lie beside a folder of options, after all others."""
    if (beside := str(Path(folder).resolve().parent)) not in sys.path:
        sys.path.append(beside)


def _check_file(path: Path) -> None:
    if (config_dir() / path.parent.name / f"{path.stem}.yaml").exists():
        group, name = path.parent.name, path.stem
        raise ConfigError(f"{path}: {group}={name} is a shipped option. Give yours another name, such as {group}=my_{name}")
    if not path.is_file():  # reading a pipe would wait for ever
        raise ConfigError(f"{path}: is not a file")
    if path.stat().st_size > LARGEST_FILE:
        raise ConfigError(f"{path}: is larger than the 1 MB that a config file may have")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: must be written in UTF-8: {error.reason} at byte {error.start}") from None
    try:
        for nodes, depth in _unfolding(text):
            if nodes > MOST_NODES:
                raise ConfigError(f"{path}: unfolds to more than {MOST_NODES} values by its anchors")
            if depth > DEEPEST:
                raise ConfigError(f"{path}: is nested more than {DEEPEST} levels deep")
    except yaml.YAMLError:
        return  # Hydra reports it if the file is chosen


def _unfolding(text: str) -> Iterator[tuple[int, int]]:
    """Yields after every event the number of values so far, every alias counted in full, and the depth of the next value."""
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []
    nodes = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            nodes += sizes.get(event.anchor, MOST_NODES + 1)  # of a node that is still open: it holds itself
        elif isinstance(event, yaml.ScalarEvent):
            nodes += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, nodes))
            nodes += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor is not None:
                sizes[anchor] = nodes - before
        yield nodes, len(open_nodes)

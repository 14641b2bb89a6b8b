"""Reads the YAML file of an option: its words, its settings as they are written with their comments, what it builds on.

Loads neither Hydra nor torch, and keeps what Hydra drops: comments, and the text of a value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from metacl_run.config import commented_yaml
from metacl_run.config.commented_yaml import CommentedYaml
from metacl_run.config.components import config_dir
from metacl_run.core.errors import ConfigError, nearest, shown

GROUP_WORDS = {
    "algo": "the learning algorithm; it chooses the protocol",
    "data": "the stream of tasks",
    "model": "the network",
    "protocol": "how the stream is learned and evaluated",
    "gpu": "device, engine, precision",
    "logger": "where results go besides the run directory",
    "experiment": "a preset over all of these, with a paper's values",
    "table": "a paper's table: all of its runs, ours beside the paper's",
}
"""The groups that a user chooses from; `overrides.FOLLOWING` has the others."""
GROUPS_TO_CHOOSE = tuple(GROUP_WORDS)
DEFAULTS = ("protocol", "model", "data", "algo", "gpu", "logger")
NOT_SETTINGS = ("defaults", "streams", "_target_")
_NO_PROSE = re.compile(r"@package|yaml-language-server:|Cite:")
"""Lines of a head comment that are for Hydra, for an editor and for `metacl-run cite`."""


class Written(NamedTuple):
    """A setting as it is written in a file."""

    value: Any
    text: str
    """The value as in the file."""
    comment: str
    option: str
    """The option whose file has the value."""

    def over(self, inherited: Written | None) -> Written:
        """The setting in place of one that is inherited, whose comment still says what the setting is."""
        comments = [inherited.comment if inherited else "", self.comment]
        if all(comments):
            comments[1] = f". In {self.option}: {self.comment}"
        return self._replace(comment="".join(comments))


class StreamSection(NamedTuple):
    """The stream of a data option for one kind of protocol."""

    target: str
    settings: Mapping[str, Written]


class OptionFile(NamedTuple):
    """An option as its file and the files that it builds on describe it."""

    group: str
    name: str
    path: Path
    prose: str
    """The comment at the head of its own file, one paragraph."""
    cites: tuple[str, ...]
    """Keys of its papers; where its own file names none, those of the options that it builds on."""
    parents: tuple[str, ...]
    """The options of the same group that it builds on, the nearest last."""
    target: str | None
    """The path of its class; None in groups whose options have none."""
    chooses: Mapping[str, str]
    """The options of other groups that it chooses."""
    prefix: str
    """What stands before a setting's name on the command line: "algo.", "logger.wandb."; "" where settings have full keys."""
    settings: Mapping[str, Written]
    streams: Mapping[str, StreamSection]
    """Of data: by kind of protocol."""

    @property
    def summary(self) -> str:
        """The first sentence of its head comment."""
        return first_sentence(self.prose)


class OptionFiles:
    """The options that ship and those of a user's folder; each file is read once.

    Args:
        user_folder: of --config-dir.
    """

    def __init__(self, user_folder: str | None = None) -> None:
        self.folders = [config_dir(), *([Path(user_folder)] if user_folder else [])]
        self._read: dict[tuple[str, str], OptionFile] = {}

    def names(self, group: str) -> list[str]:
        """The names of all options of a group, sorted."""
        return sorted({path.stem for folder in self.folders for path in (folder / group).glob("*.yaml")})

    def all(self, group: str) -> list[OptionFile]:
        """All options of a group, sorted by name. Raises ConfigError where a file cannot be read."""
        return [self.option(group, name) for name in self.names(group)]

    def option(self, group: str, name: str) -> OptionFile:
        """One option. Raises ConfigError: there is no such option, or its file cannot be read."""
        return self._option(group, name, ())

    @cached_property
    def defaults(self) -> Mapping[str, str]:
        """The option of each group that a run has where nothing chooses another."""
        entries = commented_yaml.read(config_dir() / "config.yaml").content["defaults"]
        pairs = [next(iter(entry.items())) for entry in entries if isinstance(entry, dict)]
        return {group: option for group, option in pairs if group in DEFAULTS}

    def kind(self, protocol: str) -> str:
        """The kind of a protocol option: the name of the shipped option with the same class."""
        target = self.option("protocol", protocol).target
        shipped = sorted(path.stem for path in (config_dir() / "protocol").glob("*.yaml"))
        return next((name for name in shipped if self.option("protocol", name).target == target), protocol)

    def algo_kind(self, algo: OptionFile) -> str:
        """The kind of protocol that an algorithm is for."""
        return self.kind(algo.chooses.get("protocol", self.defaults["protocol"]))

    def _option(self, group: str, name: str, children: tuple[str, ...]) -> OptionFile:
        key = (group, name)
        if key not in self._read:
            names = self.names(group)
            if name not in names:
                raise ConfigError(no_such_option(group, name, names))
            if name in children:
                raise ConfigError(f"{group}/{name}.yaml: its defaults list leads back to the file itself")
            path = next(file for folder in self.folders if (file := folder / group / f"{name}.yaml").exists())
            self._read[key] = self._resolved(group, path, children)
        return self._read[key]

    def _resolved(self, group: str, path: Path, children: tuple[str, ...]) -> OptionFile:
        file = commented_yaml.read(path)
        parents, chooses = _defaults(file.content.get("defaults"))
        bases = [self._option(group, parent, (*children, path.stem)) for parent in parents]
        settings = {key: value for base in bases for key, value in base.settings.items()}
        for key, (value, text, comment) in file.entries.items():
            if key.partition(".")[0] not in NOT_SETTINGS:
                settings[key] = Written(value, text, comment, path.stem).over(settings.get(key))
        targets = [file.content.get("_target_"), *(base.target for base in reversed(bases))]
        cites = [key.strip() for line in file.head if line.startswith("Cite:") for key in line[5:].split(",")]
        prose = [line for line in file.head if not _NO_PROSE.match(line)]
        return OptionFile(
            group=group,
            name=path.stem,
            path=path,
            prose=" ".join(prose).strip(),
            cites=tuple(filter(None, cites or dict.fromkeys(key for base in bases for key in base.cites))),
            parents=tuple(name for base in bases for name in (*base.parents, base.name)),
            target=next((str(target) for target in targets if target), None),
            chooses={**{key: option for base in bases for key, option in base.chooses.items()}, **chooses},
            prefix=_prefix(group, file.head),
            settings=settings,
            streams={
                **{kind: section for base in bases for kind, section in base.streams.items()},
                **_streams(file, path.stem),
            },
        )


def no_such_option(group: str, name: str, names: Sequence[str], subject: str = "") -> str:
    """The message for an option that does not exist, with the options there are; `subject`: for what these are."""
    return f"{group}={shown(name)}: there is no such option.{nearest(name, names)} Options{subject}: {', '.join(names)}"


def first_sentence(prose: str) -> str:
    """The first sentence of a paragraph; "et al. 2017" does not end one."""
    end = re.search(r"[.!?](?=\s+[A-Z(`]|$)", prose)
    return prose[: end.end()] if end else prose


def _prefix(group: str, head: Sequence[str]) -> str:
    """Where Hydra puts the settings of a file: under its group, or where the line `# @package` or `config.yaml` says."""
    if group in ("experiment", "table", "pair"):
        return ""
    if group == "tuned":
        return "algo."
    package = next((line.partition(" ")[2].strip() for line in head if line.startswith("@package ")), group)
    return f"{package.removeprefix('_global_.')}."


def _defaults(entries: Any) -> tuple[list[str], dict[str, str]]:
    """The options of the same group, and those of other groups, that a defaults list names."""
    parents: list[str] = []
    chooses: dict[str, str] = {}
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, str) and entry != "_self_":
            parents.append(entry.removesuffix(".yaml"))
        elif isinstance(entry, dict):
            for key, option in entry.items():
                if isinstance(option, str) and (match := re.match(r"(?:override\s+)?/?(\w+)", str(key))):
                    chooses[match[1]] = option
    return parents, chooses


def _streams(file: CommentedYaml, option: str) -> dict[str, StreamSection]:
    sections = file.content.get("streams")
    streams = {}
    for kind, section in sections.items() if isinstance(sections, dict) else []:
        prefix = f"streams.{kind}."
        settings = {
            key.removeprefix(prefix): Written(*entry, option)
            for key, entry in file.entries.items()
            if key.startswith(prefix) and key != f"{prefix}_target_"
        }
        if isinstance(section, dict):
            streams[str(kind)] = StreamSection(str(section.get("_target_")), settings)
    return streams

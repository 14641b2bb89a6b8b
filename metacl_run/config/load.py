"""From a composed config to built components: checks every key, type and range before any work, and names the run.

Knows OmegaConf; Hydra is known to `cli`, `compose`, `overrides` and `sweeps/space.py`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import inspect
import json
import os
import re
import shlex
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from metacl_run import __version__
from metacl_run.config.conversion import convert
from metacl_run.core.bounds import Seeds
from metacl_run.core.errors import ConfigError, described, faults, nearest, prefix_field_errors, shown

GROUPS = ("algo", "model", "data", "protocol", "gpu", "logger")
WITHOUT_EFFECT = ("logger", "output_dir", "rerun", "progress")
"""Top-level keys that cannot change a run's result, and so do not enter its id."""
RUN_ID_LENGTH = 12
LONGEST_NAME = 255
"""Bytes in the name of a file or folder."""
TOP_LEVEL: dict[str, Any] = {
    "seeds": Seeds,
    "insight": Literal["none", "light", "full"],
    "output_dir": str,
    "rerun": bool,
    "progress": Literal["auto", "rich", "plain", "none"],
}
"""The settings outside the groups, with their types."""
RETIRED = {
    "protocol.transductive": "there is no such setting any more. Where the network has batch norm both are reported: accuracy, "
    "each query alone with the support set, and transductive_accuracy, all queries together. Leave it out",
}
"""Full keys of settings that earlier versions had, and what there is in their place."""


def config_dir() -> Path:
    """The folder of YAML files: inside the installed package, else beside it in a checkout."""
    package = Path(__file__).parents[1]
    packaged = package / "_configs"
    return packaged if packaged.is_dir() else package.parent / "configs"


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A config that has passed every check that needs no data."""

    algo: Any
    model: Any
    data: Any
    protocol: Any
    gpu: Any
    logger: Any
    seeds: list[int]
    insight: Literal["none", "light", "full"]
    output_dir: Path
    rerun: bool
    progress: Literal["auto", "rich", "plain", "none"]
    choices: dict[str, str]
    """The option chosen in each group: {"algo": "maml", ...}."""
    overrides: list[str]
    """What was given on the command line."""
    user_folder: str | None
    """Of --config-dir."""
    resolved: dict[str, Any]
    run_id: str
    without_effect: list[str]
    """Full keys of the settings that do not enter the run id."""

    @property
    def directory(self) -> Path:
        return self.output_dir / self.choices["data"] / self.choices["algo"] / self.run_id

    @property
    def command(self) -> str:
        """The command that computes it, to be pasted into a shell."""
        return command_line(self.overrides, self.user_folder)

    def to_yaml(self) -> str:
        return OmegaConf.to_yaml(OmegaConf.create(self.resolved))


def load(
    config: DictConfig, choices: Mapping[str, str], overrides: Sequence[str] = (), user_folder: str | None = None
) -> Experiment:
    """Builds and checks everything that a config names, without loading data.

    Args:
        config: composed, without the nodes of the command.
        choices: the option chosen in each group.
        overrides, user_folder: the command line that it was composed from.

    Raises:
        ConfigError: the full key, its value, what is allowed and the nearest name; all mistakes of one config together.
        DataError: files that the data component needs are not there.
    """
    resolved = _resolved(config)
    if type(resolved.get("seeds")) is int:
        resolved["seeds"] = [resolved["seeds"]]
    mistakes: list[str] = []
    parts = {}
    for group in GROUPS:
        try:
            parts[group] = build(resolved.get(group), group)
        except ConfigError as error:
            mistakes.append(str(error))
    mistakes += _top_level(resolved) + _bad_path("output_dir", resolved.get("output_dir"))
    if isinstance(data := resolved.get("data"), Mapping):
        mistakes += _bad_path("data.root", data.get("root"))
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    _check_fit(parts, choices, overrides)
    if resolved["insight"] != "none" and not parts["protocol"].looks_inside:
        always = "whose report always shows the representation"
        raise ConfigError(f"insight={resolved['insight']}: has no effect under protocol={choices.get('protocol')}, {always}")
    chosen = {group: choices.get(group, "custom") for group in GROUPS}
    return Experiment(
        **parts,
        seeds=resolved["seeds"],
        insight=resolved["insight"],
        output_dir=Path(resolved["output_dir"]).expanduser().absolute(),
        rerun=resolved["rerun"],
        progress=resolved["progress"],
        choices=chosen,
        overrides=list(overrides),
        user_folder=user_folder,
        resolved=resolved,
        run_id=run_id(resolved, parts),
        without_effect=silent_keys(parts),
    )


def _resolved(config: DictConfig) -> dict[str, Any]:
    try:
        return cast("dict[str, Any]", OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
    except OmegaConfBaseException as error:
        where = f"{error.full_key}: " if error.full_key else ""
        raise ConfigError(f"{where}{shown(str(error).splitlines()[0])}") from None
    except RecursionError:
        raise ConfigError("a value of the config refers to itself, or is nested too deep") from None


def command_line(overrides: Sequence[str], user_folder: str | None) -> str:
    """The command of a run, to be pasted into a shell."""
    folder = [] if user_folder is None else ["--config-dir", str(Path(user_folder).resolve())]
    return shlex.join(["metacl-run", *folder, *overrides])


def run_id(resolved: Mapping[str, Any], parts: Mapping[str, Any]) -> str:
    """A hash of everything that can change the result: the resolved config without `silent_keys`, and the package's version."""
    silent = set(silent_keys(parts))
    kept = {key: value for key, value in resolved.items() if key not in silent}
    for group in parts.keys() & kept.keys():
        kept[group] = {key: value for key, value in kept[group].items() if f"{group}.{key}" not in silent}
    text = json.dumps({"version": __version__, "config": kept}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:RUN_ID_LENGTH]


def silent_keys(parts: Mapping[str, Any]) -> list[str]:
    """Full keys of what cannot change the result: `WITHOUT_EFFECT`, and the fields that a component marks with metadata
    identity=False or for other protocols."""
    silent = list(WITHOUT_EFFECT)
    for group in sorted(parts.keys() - set(WITHOUT_EFFECT)):
        fields = dataclasses.fields(parts[group])
        unmarked = {field.name for field in fields if field.metadata.get("identity", True) and _seen(field, parts["protocol"])}
        silent += [f"{group}.{field.name}" for field in fields if field.name not in unmarked]
    return silent


# ------------------------------------------------------------------------------------------------------------ components


def build(node: Any, group: str) -> Any:
    """The component a node describes: its `_target_` names a dataclass, the other keys are that dataclass's fields.

    Raises:
        ConfigError: with every mistake in the node.
    """
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise ConfigError(f"{group}: has no _target_, the class to build. Choose one: {group}=<option>; `--help` lists them.")
    return fill(
        component_class(node["_target_"], group), {key: value for key, value in node.items() if key != "_target_"}, group
    )


def fill(cls: type, given: Any, group: str) -> Any:
    """A dataclass from a node that has a value for each of its fields.

    Raises:
        ConfigError: every mistake in the node: unknown and missing settings, types and bounds; where there is none of these,
            what the class says of its settings together.
    """
    if not isinstance(given, Mapping):
        names = ", ".join(field.name for field in dataclasses.fields(cls))
        raise ConfigError(f"{group}={shown(given)}: must have the settings {names}, as in {group}.{names.split(',')[0]}=...")
    with faults(f"{group}: the types of {cls.__name__} cannot be read"):
        hints = typing.get_type_hints(cls, include_extras=True)
    fields = {field.name: hints[field.name] for field in dataclasses.fields(cls)}
    mistakes = [_unknown(str(key), value, cls, fields, group) for key, value in given.items() if key not in fields]
    mistakes += [f"{group}.{name}: is missing; {cls.__name__} needs it" for name in fields if name not in given]
    values = {}
    for name, hint in fields.items():
        if name in given:
            try:
                values[name] = convert(given[name], hint)
            except ValueError as error:
                mistakes.append(f"{group}.{name}={shown(given[name])}: {error}")
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    with faults(f"{group}: {cls.__name__} cannot be made"), prefix_field_errors(group):
        return cls(**values)


def component_class(target: object, group: str) -> type:
    """Imports the class at a dotted path and makes sure it is a component."""
    where = f"{group}._target_={shown(target)}"
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", str(target)):
        raise ConfigError(f"{where}: must be a dotted path, package.module.Class")
    module_name, _, class_name = str(target).rpartition(".")
    try:
        with faults(f"{where}: importing {module_name} failed", but=ModuleNotFoundError):
            module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name == error.name or module_name.startswith(error.name + ".")):
            raise ConfigError(f"{where}: importing {module_name} failed: {described(error)}") from None
        raise ConfigError(f"{where}: there is no module {module_name} to import") from None
    found = getattr(module, class_name, None)
    if not (inspect.isclass(found) and dataclasses.is_dataclass(found)):
        names = [name for name in dir(module) if name != class_name and dataclasses.is_dataclass(getattr(module, name))]
        raise ConfigError(f"{where}: must name a dataclass in {module_name}.{nearest(class_name, names)}")
    return found


def _unknown(name: str, value: Any, cls: type, fields: Mapping[str, Any], group: str) -> str:
    if f"{group}.{name}" in RETIRED:
        return f"{group}.{name}={shown(value)}: {RETIRED[f'{group}.{name}']}"
    hint = _did_you_mean(name, group, fields)
    return f"{group}.{shown(name)}={shown(value)}: {cls.__name__} has no such setting.{hint} It has: {', '.join(fields)}"


def _did_you_mean(name: str, group: str, fields: Mapping[str, Any]) -> str:
    found = nearest(name, fields)
    return found.replace("Did you mean ", f"Did you mean {group}.") if found else ""


# ----------------------------------------------------------------------------------------------------- across components


def _top_level(resolved: Mapping[str, Any]) -> list[str]:
    known = [*TOP_LEVEL, *GROUPS]
    unknown = [key for key in resolved if key not in known]
    mistakes = [f"{key}={shown(resolved[key])}: there is no such setting.{nearest(key, known)}" for key in unknown]
    for key, hint in TOP_LEVEL.items():
        try:
            value = convert(resolved.get(key), hint)
        except ValueError as error:
            mistakes.append(f"{key}={shown(resolved.get(key))}: {error}")
            continue
        if key == "seeds" and len(set(value)) < len(value):
            mistakes.append(f"seeds={shown(value)}: must be different whole numbers, as in seeds=[0,1,2]")
        if key == "output_dir" and not value.strip():
            mistakes.append("output_dir=: must name a folder")
    return mistakes


def _bad_path(key: str, value: Any) -> list[str]:
    """What keeps a text from being a path, whatever there is on the disk."""
    if not isinstance(value, str):
        return []  # said by its type
    try:
        parts = Path(value).expanduser().parts
    except RuntimeError:
        return [f"{key}={shown(value)}: there is no home folder of that user"]
    if "\0" in value or any(len(os.fsencode(part)) > LONGEST_NAME for part in parts):
        return [f"{key}={shown(value)}: a folder's name has at most {LONGEST_NAME} bytes, none of them 0"]
    return []


def _seen(field: Any, protocol: Any) -> bool:
    """Whether the protocol looks at a field of the data (see `data.streams.base.seen_by`)."""
    contracts = field.metadata.get("seen_by")
    return contracts is None or protocol.data in contracts


def _check_fit(parts: Mapping[str, Any], choices: Mapping[str, str], overrides: Sequence[str]) -> None:
    """Refuses an algorithm or data that the protocol cannot run and settings it does not look at, then lets the protocol check
    the numbers."""
    protocol = parts["protocol"]
    for group, interface in (("algo", protocol.learner), ("data", protocol.data)):
        if not isinstance(parts[group], interface):
            raise ConfigError(_misfit(group, interface, parts, choices))
    given = {override.lstrip("+").split("=")[0]: override for override in overrides}
    unseen = {f"data.{field.name}" for field in dataclasses.fields(parts["data"]) if not _seen(field, protocol)}
    ignored = [f"{given[key]}: has no effect under protocol={choices.get('protocol')}" for key in given if key in unseen]
    if ignored:
        raise ConfigError("\n".join(ignored))
    words = " ".join(f"{group}={choices.get(group, 'custom')}" for group in ("protocol", "algo", "model", "data"))
    with faults(f"{words}: checking them failed"):
        try:
            protocol.check(parts["algo"], parts["model"], parts["data"])
        except OSError as error:
            root = getattr(parts["data"], "root", None)
            raise ConfigError(f"data.root={shown(root)}: cannot be read: {error.strerror or described(error)}") from None


def _misfit(group: str, interface: type, parts: Mapping[str, Any], choices: Mapping[str, str]) -> str:
    """What is said of an algorithm or data that the protocol cannot run: what the protocol takes, and what takes this one."""
    part, protocol = parts[group], choices.get("protocol", "custom")
    fitting = ", ".join(options_that_are(group, interface)) or "none that ships"
    said = (
        f"{group}={choices.get(group, type(part).__name__)}: does not fit protocol={protocol}, which needs "
        f"{_article(interface.__name__)}; {type(part).__name__} is not. Works with: {fitting}"
    )
    if group == "algo":
        return said
    others = [cls for cls in options("protocol").values() if isinstance(part, cls.data)]
    algos = [name for cls in others for name in options_that_are("algo", cls.learner)]
    return f"{said}. Algorithms for these data: {', '.join(algos)}" if algos else said


def options(group: str) -> dict[str, Any]:
    """The shipped options of a group that say their class, with the classes."""
    targets = {path.stem: _target_of(path) for path in sorted((config_dir() / group).glob("*.yaml"))}
    return {name: component_class(target, group) for name, target in targets.items() if target is not None}


def options_that_are(group: str, interface: type) -> list[str]:
    """The shipped options of a group whose class fulfils an interface."""
    return [name for name, cls in options(group).items() if issubclass(cls, interface)]


def _target_of(path: Path) -> str | None:
    node = OmegaConf.load(path)
    assert isinstance(node, DictConfig)
    if "_target_" in node:
        return node["_target_"]
    parents = [item for item in node.get("defaults", []) if isinstance(item, str) and item != "_self_"]
    return _target_of(path.with_name(f"{parents[0]}.yaml")) if parents else None


def _article(word: str) -> str:
    return f"an {word}" if word[0] in "AEIOU" else f"a {word}"

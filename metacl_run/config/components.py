"""Builds components: the dataclass that an option's `_target_` names, filled with the option's settings, all checked."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import re
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from metacl_run.config.conversion import convert
from metacl_run.core.errors import ConfigError, described, faults, nearest, prefix_field_errors, shown

GROUPS = ("algo", "model", "data", "protocol", "gpu", "logger")
RETIRED = {
    "protocol.transductive": "there is no such setting any more. Where the network has batch norm both are reported: accuracy, "
    "each query alone with the support set, and transductive_accuracy, all queries together. Leave it out",
    "data.test_images": "is now called data.test_examples",
    **{
        f"logger.{name}": f"is now called logger.wandb.{name}, since a run may have several loggers"
        for name in ("mode", "project", "entity", "group", "name")
    },
    **{f"logger.{name}": f"is now called logger.tensorboard.{name}" for name in ("flush_s", "figures")},
    **dict.fromkeys(("logger.tags", "logger.wandb.tags"), "is now the setting tags, which every logger receives"),
}
"""Full keys of settings that earlier versions had, and what there is in their place."""
OF_FILES = {
    "data.root": " It looks for no files there. In a sweep over several data, give METACL_DATA=FOLDER before the command."
}
"""Full keys that only some data have, and what to give in a command for several."""

Origin: TypeAlias = Callable[[str, str], str]
"""(group, name of a setting) -> the file that the setting comes from and which others build on; "" where it is no such file."""


def config_dir() -> Path:
    """The folder of YAML files: inside the installed package, else beside it in a checkout."""
    package = Path(__file__).parents[1]
    packaged = package / "_configs"
    return packaged if packaged.is_dir() else package.parent / "configs"


def build(node: Any, group: str, origin: Origin | None = None) -> Any:
    """Builds the component that a node describes: its `_target_` names a dataclass, the other keys are the dataclass's fields.

    Args:
        node: the node.
        group: what stands before the names of its settings.
        origin: for messages about settings that the class does not have.

    Raises:
        ConfigError: with every mistake in the node.
    """
    target = target_of(node, group)
    settings = {key: value for key, value in node.items() if key != "_target_"}
    return fill(component_class(target, group), settings, group, origin)


def target_of(node: Any, group: str) -> Any:
    """The class path of a node. Raises ConfigError where there is none."""
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise ConfigError(
            f"{group}: has no _target_, the class to build. A YAML file of your own needs the line _target_: module.Class; "
            f"{group}=<option> chooses one of those that `--help` lists."
        )
    return node["_target_"]


def fill(cls: type, settings: Any, group: str, origin: Origin | None = None) -> Any:
    """Makes a dataclass from settings that have a value for each of its fields; `origin` as in `build`.

    Raises:
        ConfigError: every mistake in the settings: unknown and missing ones, types and bounds; where there is none of these,
            what the class says of its settings together.
    """
    if not isinstance(settings, Mapping):
        names = ", ".join(field.name for field in dataclasses.fields(cls))
        first = names.split(",")[0]
        raise ConfigError(f"{group}={shown(settings)}: must have the settings {names}, as in {group}.{first}=...")
    values, mistakes = converted(cls, settings, group)
    fields = setting_types(cls, group)
    unknown = [
        unknown_setting(key, value, cls.__name__, list(fields), group, origin)
        for key, value in settings.items()
        if key not in fields
    ]
    if unknown or mistakes:
        raise ConfigError("\n".join([*unknown, *mistakes]))
    return make(cls, values, group)


def make(cls: type, values: Mapping[str, Any], group: str) -> Any:
    """Calls the class with values that are converted already. Raises ConfigError."""
    with faults(f"{group}: {cls.__name__} cannot be made"), prefix_field_errors(group):
        return cls(**values)


def setting_types(cls: type, group: str) -> Mapping[str, Any]:
    """The types of a dataclass's fields by name, bounds included. Raises ConfigError where they cannot be read."""
    with faults(f"{group}: the types of {cls.__name__} cannot be read"):
        return _types_of(cls)


@functools.cache
def _types_of(cls: Any) -> Mapping[str, Any]:
    types = typing.get_type_hints(cls, include_extras=True)
    return {field.name: types[field.name] for field in dataclasses.fields(cls)}


@functools.cache
def _values_off(cls: Any) -> Mapping[str, Any]:
    """The values of settings that came later (`bounds.added_setting`) where a config lacks them."""
    return {field.name: field.metadata["off"] for field in dataclasses.fields(cls) if "off" in field.metadata}


def converted(cls: type, settings: Mapping[str, Any], group: str, *, but: str = "") -> tuple[dict[str, Any], list[str]]:
    """The values of a dataclass's fields (all `but` one) in their types, and a message for each that is missing or wrong. One
    that came later (`bounds.added_setting`) may be missing."""
    values: dict[str, Any] = {}
    mistakes = []
    off = _values_off(cls)
    for name, kind in setting_types(cls, group).items():
        if name == but:
            continue
        if name not in settings and name in off:
            values[name] = off[name]
            continue
        if name not in settings:
            mistakes.append(f"{group}.{name}: is missing; {cls.__name__} needs it")
            continue
        try:
            values[name] = convert(settings[name], kind)
        except ValueError as error:
            mistakes.append(f"{group}.{name}={shown(settings[name])}: {error}")
    return values, mistakes


def unknown_setting(name: Any, value: Any, owner: str, known: list[str], group: str, origin: Origin | None = None) -> str:
    """The message for a setting that nothing reads; `origin` as in `build`."""
    if f"{group}.{name}" in RETIRED:
        return f"{group}.{name}={shown(value)}: {RETIRED[f'{group}.{name}']}"
    hint = nearest(str(name), known).replace("Did you mean ", f"Did you mean {group}.")
    hint += OF_FILES.get(f"{group}.{name}", "")
    if origin is not None and (file := origin(group, str(name))):
        hint = (
            f" It comes from {file}: leave that out of its defaults list, and list all settings of {owner} in the file itself."
        )
    return f"{group}.{shown(name)}={shown(value)}: {owner} has no such setting.{hint} It has: {', '.join(known)}"


def component_class(target: object, group: str) -> type:
    """Imports the class at a dotted path and makes sure that it is a component. Raises ConfigError."""
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
        raise ConfigError(
            f"{where}: there is no module {module_name} to import. A module of your own lies beside the folder of "
            "--config-dir, or in a folder of PYTHONPATH"
        ) from None
    component = getattr(module, class_name, None)
    if not (inspect.isclass(component) and dataclasses.is_dataclass(component)):
        names = [name for name in dir(module) if name != class_name and dataclasses.is_dataclass(getattr(module, name))]
        raise ConfigError(f"{where}: must name a dataclass in {module_name}.{nearest(class_name, names)}")
    if "__dataclass_fields__" not in vars(component) and (fields := vars(component).get("__annotations__")):
        raise ConfigError(
            f"{where}: has the settings {', '.join(fields)}, but is no dataclass itself. Write @dataclass(frozen=True, "
            "kw_only=True) above the class"
        )
    return component

"""Describes an option from its YAML file and its class: what it is, its settings, what it fits, a command that runs it.

Imports the classes, and with them torch. What needs no class is in `option_files`.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from metacl_run.config.components import build, component_class, setting_types
from metacl_run.config.option_files import OptionFile, OptionFiles, Written
from metacl_run.config.type_words import TypeWords, type_words
from metacl_run.core.token_shape import TokenShape

NO_TYPE = TypeWords("", "", ())
SHAPES = {
    "vectors": (16,),
    "images of 28x28": (1, 28, 28),
    "images of 32x32": (3, 32, 32),
    "images of 84x84": (3, 84, 84),
    "words of texts": TokenShape(24, 1000),
}
"""Inputs that a model is tried on, to say which it takes."""


class Setting(NamedTuple):
    """One setting of an option."""

    key: str
    """As a user types it: algo.inner_lr."""
    words: TypeWords
    default: str
    """As the file has it."""
    comment: str
    """Of the file; where it has none, of the class's docstring."""
    option: str
    """The option whose file has the value: the option itself, or one that it builds on."""
    hint: Any
    """The type with its bounds; None where no class reads the setting (presets)."""


class StreamDescription(NamedTuple):
    """The stream of a data option for one kind of protocol."""

    kind: str
    class_path: str
    doc: str
    """The docstring of its module."""
    settings: tuple[Setting, ...]


class Description(NamedTuple):
    """An option, described."""

    group: str
    name: str
    summary: str
    prose: str
    cites: tuple[str, ...]
    """BibTeX keys."""
    class_path: str | None
    doc: str
    """The docstring of the class's module: equations, differences from the paper."""
    parents: tuple[str, ...]
    chooses: Mapping[str, str]
    settings: tuple[Setting, ...]
    streams: tuple[StreamDescription, ...]
    kinds: tuple[str, ...]
    """Kinds of protocols that it is for; of algorithms, data and protocols."""
    fits: tuple[str, ...]
    """Of an algorithm: data for its protocol. Of data and protocols: algorithms."""
    inputs: tuple[str, ...]
    """Of a model: which of `SHAPES` it takes."""
    example: str
    """A command that runs."""
    experiments: tuple[str, ...]
    """Presets that use it; of a table: those that its runs use."""
    tables: tuple[str, ...]
    """Papers' tables that use it."""


def describe(group: str, name: str, files: OptionFiles) -> Description:
    """Describes an option.

    Raises:
        ConfigError: there is no such option, or its file or class cannot be read.
    """
    option = files.option(group, name)
    experiments = _experiments(option, files)
    settings, streams = option_settings(option)
    inputs = _inputs(option) if group == "model" else ()
    return Description(
        group=group,
        name=name,
        summary=option.summary,
        prose=option.prose,
        cites=option.cites,
        class_path=option.target,
        doc=_module_doc(option.target),
        parents=option.parents,
        chooses=option.chooses,
        settings=settings,
        streams=streams,
        kinds=_kinds(option, files),
        fits=fitting(option, files),
        inputs=inputs,
        example=_example(option, files, inputs),
        experiments=experiments,
        tables=_tables(option, files, experiments),
    )


def option_settings(option: OptionFile) -> tuple[tuple[Setting, ...], tuple[StreamDescription, ...]]:
    """The settings of an option, and of data the streams with theirs. Raises ConfigError."""
    written = option.settings
    if option.group == "table":  # its lists are for the program
        written = {key: value for key, value in written.items() if not isinstance(value.value, list)}
    streams = {key for section in option.streams.values() for key in section.settings}
    own = {key: value for key, value in written.items() if option.target is None or key not in streams}
    return _settings(own, option.target, option.prefix), tuple(_stream(option, kind) for kind in option.streams)


def fitting(option: OptionFile, files: OptionFiles) -> tuple[str, ...]:
    """The data whose streams suit an algorithm's protocol, or the algorithms for data or a protocol. Needs no class."""
    kinds = _kinds(option, files)
    if option.group == "algo":
        return tuple(data.name for data in files.all("data") if set(data.streams) & set(kinds))
    if option.group in ("data", "protocol"):
        return tuple(algo.name for algo in files.all("algo") if files.algo_kind(algo) in kinds)
    return ()


def _kinds(option: OptionFile, files: OptionFiles) -> tuple[str, ...]:
    if option.group == "algo":
        return (files.algo_kind(option),)
    if option.group == "data":
        return tuple(option.streams)
    return (files.kind(option.name),) if option.group == "protocol" else ()


# ------------------------------------------------------------------------------------------------------------- settings


def _settings(written: Mapping[str, Written], target: str | None, prefix: str) -> tuple[Setting, ...]:
    cls = None if target is None else component_class(target, prefix.rstrip("."))
    hints = {} if cls is None else setting_types(cls, prefix.rstrip("."))
    documented = {} if cls is None else attribute_docs(cls)
    return tuple(
        Setting(
            key=f"{prefix}{key}",
            words=type_words(hints[key]) if key in hints else NO_TYPE,
            default=value.text,
            comment=value.comment or documented.get(key, ""),
            option=value.option,
            hint=hints.get(key),
        )
        for key, value in written.items()
    )


def _stream(option: OptionFile, kind: str) -> StreamDescription:
    """A stream; a variant of an option sets keys of its streams at the top level."""
    section = option.streams[kind]
    written = {
        key: option.settings[key].over(value) if key in option.settings else value for key, value in section.settings.items()
    }
    settings = _settings(written, section.target, "data.")
    return StreamDescription(kind, section.target, _module_doc(section.target), settings)


def attribute_docs(cls: type) -> dict[str, str]:
    """The entries of the sections "Attributes:" in the docstrings of a class and its bases, by name."""
    entries: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        _, _, section = inspect.cleandoc(base.__doc__ or "").partition("\nAttributes:\n")
        for names, text in re.findall(
            r"^    ([\w, ]+): ((?:.*\n?)(?:     +.*\n?)*)", section.partition("\n\n")[0], re.MULTILINE
        ):
            entries |= dict.fromkeys(names.split(", "), " ".join(text.split()).rstrip("."))
    return entries


def _module_doc(target: str | None) -> str:
    if target is None:
        return ""
    component_class(target, "_target_")
    return inspect.cleandoc(importlib.import_module(target.rpartition(".")[0]).__doc__ or "")


# ----------------------------------------------------------------------------------------------- what it goes together with


def _inputs(option: OptionFile) -> tuple[str, ...]:
    """Builds the model without memory for each of `SHAPES`."""
    import torch

    model = _built(option)
    accepted = []
    for words, shape in SHAPES.items():
        tokens = isinstance(shape, TokenShape)
        if tokens != model.takes_tokens:
            continue
        try:
            with torch.device("meta"):
                module = model.build(shape, 5)
                module(torch.zeros(2, *shape, dtype=torch.int64 if tokens else torch.float32))
        except Exception:  # layers refuse an input that is too small in many ways
            continue
        accepted.append(words)
    return tuple(accepted)


def _built(option: OptionFile) -> Any:
    return build({"_target_": option.target, **{key: written.value for key, written in option.settings.items()}}, option.group)


def _has_running_averages(option: OptionFile, inputs: tuple[str, ...]) -> bool:
    """Whether the model has running averages, parameters without a gradient, so that only protocol=online takes it."""
    import torch

    if not inputs:
        return False
    with torch.device("meta"):
        module = _built(option).build(SHAPES[inputs[0]], 5)
    return not all(parameter.requires_grad for parameter in module.parameters())


def _experiments(option: OptionFile, files: OptionFiles) -> tuple[str, ...]:
    if option.group == "experiment":
        return ()
    if option.group == "table":
        return tuple(dict.fromkeys(run["experiment"] for run in option.settings["runs"].value if run.get("experiment")))
    presets = files.all("experiment")
    return tuple(preset.name for preset in presets if preset.chooses.get(option.group) == option.name)


def _tables(option: OptionFile, files: OptionFiles, experiments: tuple[str, ...]) -> tuple[str, ...]:
    if option.group in ("table", "gpu", "logger", "protocol"):
        return ()
    names = {*experiments, *([option.name] if option.group == "experiment" else [])}
    choice = f"{option.group}={option.name}"
    return tuple(
        table.name
        for table in files.all("table")
        if any(run.get("experiment") in names or choice in run.get("overrides", []) for run in table.settings["runs"].value)
    )


def _example(option: OptionFile, files: OptionFiles, inputs: tuple[str, ...]) -> str:
    """A command that runs, as short as there is one."""
    own = f"{option.group}={option.name}"
    algos = files.all("algo")
    choosers = [algo.name for algo in algos if algo.chooses.get(option.group) == option.name]
    if option.group == "table":
        return f"metacl-run {own} table.size=smoke"
    if option.group in ("data", "protocol"):
        candidates = [files.defaults["algo"], *choosers, *fitting(option, files)]
        algo = next((f"algo={name} " for name in candidates if name in fitting(option, files)), "")
        return f"metacl-run {algo}{own}"
    if option.group == "model":
        return _model_example(option, files, choosers, inputs)
    return f"metacl-run {own}"


def _model_example(option: OptionFile, files: OptionFiles, choosers: list[str], inputs: tuple[str, ...]) -> str:
    own = f"model={option.name}"
    if choosers:
        return f"metacl-run algo={choosers[0]} {own}"
    if data := [name.name for name in files.all("data") if name.chooses.get("model") == option.name]:
        return f"metacl-run data={data[0]} {own}"
    if _has_running_averages(option, inputs):
        return f"metacl-run algo=er data=split_cifar10 {own}"
    needs: dict[tuple[str, ...], str] = {
        ("images of 84x84",): " data.image_size=84",
        ("words of texts",): " data=intents data.encoder=trained",
    }
    presets = [preset for preset in files.all("experiment") if preset.chooses.get("model") == option.name]
    algo = presets[0].chooses.get("algo", files.defaults["algo"]) if presets else files.defaults["algo"]
    return f"metacl-run algo={algo} {own}{needs.get(inputs, '')}"

"""JSON schemas of option files, for editors: which keys a file may have, their types, bounds, choices, and what they are.

They follow from the same dataclasses that check a run. Draft 7, which editors read. A schema is per group; the class that a
file names in `_target_`, or the option that it builds on, decides which keys it may have.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen

from metacl_run.config.descriptions import Setting, StreamDescription, option_settings
from metacl_run.config.option_files import OptionFile, OptionFiles
from metacl_run.config.type_words import plain_type

Schema = dict[str, Any]
DRAFT = "http://json-schema.org/draft-07/schema#"
SCHEMA_GROUPS = ("algo", "data", "model", "protocol", "gpu", "logger", "experiment")
PLAIN = {bool: "boolean", int: "integer", float: "number", str: "string"}
KEYWORDS = (
    (Ge, "minimum", "ge"),
    (Gt, "exclusiveMinimum", "gt"),
    (Le, "maximum", "le"),
    (Lt, "exclusiveMaximum", "lt"),
    (MinLen, "minLength", "min_length"),
    (MaxLen, "maxLength", "max_length"),
)
REFERENCE = {"type": "string", "pattern": r"^\$\{"}
"""Another setting's value, ${data.shots}."""


def schema(group: str, files: OptionFiles) -> Schema:
    """The schema of a group's option files."""
    if group == "experiment":
        return _of_presets(files)
    options = files.all(group)
    cases = [case for option in options for case in _cases(option)]
    return {
        "$schema": DRAFT,
        "title": f"metacl-run: an option of the group {group}",
        "type": "object",
        "properties": {
            "_target_": {
                "type": "string",
                "description": "The class, package.module.Class; those that ship, or one of your own.",
                "examples": list(dict.fromkeys(option.target for option in options)),
            },
            "defaults": {
                "type": "array",
                "description": "Options of this group that this one builds on, and its choices of others.",
            },
        },
        "allOf": list({repr(case): case for case in cases}.values()),
    }


def of_type(hint: Any) -> Schema:
    """The schema of a setting's type."""
    kind, bounds, nullable = plain_type(hint)
    limits = {word: getattr(bound, name) for bound in bounds for cls, word, name in KEYWORDS if isinstance(bound, cls)}
    if typing.get_origin(kind) is Literal:
        body: Schema = {"enum": list(typing.get_args(kind))}
    elif typing.get_origin(kind) is list:
        lengths = {word.replace("Length", "Items"): limit for word, limit in limits.items()}
        body = {"type": "array", "items": of_type(typing.get_args(kind)[0]), **lengths}
    elif kind in PLAIN:
        body = {"type": PLAIN[kind], **limits}
    else:
        return {}
    alternatives = [body, *([{"type": "null"}] if nullable else []), *([] if kind is str else [REFERENCE])]
    return alternatives[0] if len(alternatives) == 1 else {"anyOf": alternatives}


def _property(setting: Setting) -> Schema:
    return {**of_type(setting.hint), "description": setting.comment}


def _properties(settings: Sequence[Setting]) -> dict[str, Schema]:
    return {setting.key.rpartition(".")[2]: _property(setting) for setting in settings}


def _cases(option: OptionFile) -> list[Schema]:
    """What a file must be that names the class of an option, and one that builds on the option."""
    settings, of_streams = option_settings(option)
    own = _properties(settings)
    anywhere = dict.fromkeys(("_target_", "defaults"), True)
    streams = {key: value for stream in of_streams for key, value in _properties(stream.settings).items()}
    sections = {"streams": _streams(of_streams)} if of_streams else {}
    complete = {
        "properties": {**anywhere, **own, **sections},
        "required": [*own, *sections],
        "additionalProperties": False,
    }
    variant = {"properties": {**anywhere, **own, **streams, **sections}, "additionalProperties": False}
    is_variant = {"required": ["defaults"], "properties": {"defaults": {"contains": {"const": option.name}}}}
    has_class = {"required": ["_target_"], "properties": {"_target_": {"const": option.target}}}
    is_complete = {"allOf": [has_class, {"properties": {"defaults": {"items": {"type": "object"}}}}]}
    return [{"if": is_variant, "then": variant}, *([] if option.parents else [{"if": is_complete, "then": complete}])]


def _streams(streams: Sequence[StreamDescription]) -> Schema:
    """The section `streams`: for every kind of protocol a stream, whose class decides its settings."""
    return {
        "type": "object",
        "description": "A stream for every kind of protocol that can use these data.",
        "properties": {stream.kind: _stream(stream.class_path, _properties(stream.settings)) for stream in streams},
    }


def _stream(class_path: str, properties: Mapping[str, Schema]) -> Schema:
    return {
        "type": "object",
        "required": ["_target_"],
        "if": {"properties": {"_target_": {"const": class_path}}},
        "then": {
            "properties": {"_target_": True, **properties},
            "required": list(properties),
            "additionalProperties": False,
        },
    }


def _of_presets(files: OptionFiles) -> Schema:
    """The schema of experiments: the settings of the algorithm, data and model that a preset chooses."""
    cases = []
    for group in ("algo", "data", "model"):
        for name in files.names(group):
            own, streams = option_settings(files.option(group, name))
            settings = [*own, *(setting for stream in streams for setting in stream.settings)]
            node = {"type": "object", "properties": _properties(settings), "additionalProperties": False}
            choice = {
                "type": "object",
                "required": [f"override /{group}"],
                "properties": {f"override /{group}": {"const": name}},
            }
            chosen = {"required": ["defaults"], "properties": {"defaults": {"contains": choice}}}
            cases.append({"if": chosen, "then": {"properties": {group: node}}})
    kinds = [_properties(option_settings(protocol)[0]) for protocol in files.all("protocol")]
    of_protocols = {key: {"anyOf": [kind[key] for kind in kinds if key in kind]} for kind in kinds for key in kind}
    return {
        "$schema": DRAFT,
        "title": "metacl-run: a preset, experiment=NAME",
        "type": "object",
        "properties": {
            "defaults": {"type": "array", "description": "The options that the preset chooses: - override /algo: maml"},
            "protocol": {"type": "object", "properties": of_protocols, "additionalProperties": False},
        },
        "allOf": cases,
    }

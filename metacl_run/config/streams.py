"""Chooses the stream for the protocol at hand, and builds it on its source.

An option of the group `data` names a source, and in its section `streams` a stream for every kind of protocol that can use it:

    _target_: package.module.Source       # what there is
    image_size: 28                        # the source's settings
    streams:
      online:                             # how protocol online divides it into tasks
        _target_: package.module.Stream
        num_tasks: 5                      # the stream's settings

Only the stream of the protocol at hand becomes part of the run. Its settings then stand beside those of the source, so that a
user writes `data.num_tasks=3` whatever the protocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metacl_run.config.components import Origin, component_class, converted, make, setting_types, target_of, unknown_setting
from metacl_run.core.errors import ConfigError, shown

STREAM = "_stream_"
"""The key of the stream's class in a run's config, as `_target_` is that of the source's."""


def with_stream(node: Any, kind: str) -> Any:
    """The node `data` with the settings of the stream for `kind` beside those of the source, in place of `streams`.

    Settings at the top level, which come from the command line, a preset or a variant of an option, count before those of the
    section. A node that is not as described above is left for `build_stream` to refuse.
    """
    if not isinstance(node, Mapping) or not isinstance(sections := node.get("streams"), Mapping):
        return node
    section = sections.get(kind)
    if not isinstance(section, Mapping):
        return node
    own = {key: value for key, value in node.items() if key != "streams"}
    settings = {key: value for key, value in section.items() if key != "_target_"}
    return {"_target_": own.pop("_target_", None), STREAM: section.get("_target_"), **settings, **own}


def build_stream(node: Any, kind: str, *, elsewhere: Mapping[str, Any], origin: Origin | None = None) -> Any:
    """Builds a stream on its source from a node as `with_stream` gives it.

    Args:
        node: the node.
        kind: of the protocol.
        elsewhere: the section `streams` as it was written, for messages.
        origin: for messages, as in `components.build`.

    Raises:
        ConfigError: with every mistake in the node.
    """
    source_class = component_class(target_of(node, "data"), "data")
    if STREAM not in node:
        kinds = ", ".join(map(str, elsewhere)) or "none"
        raise ConfigError(f"data: {source_class.__name__} has no stream for protocol {kind}; it has streams for: {kinds}")
    stream_class = component_class(node[STREAM], f"data.streams.{kind}")
    source_fields, stream_fields = (list(setting_types(cls, "data")) for cls in (source_class, stream_class))
    if twice := sorted(set(source_fields) & set(stream_fields)):
        classes = f"{source_class.__name__} and {stream_class.__name__}"
        raise ConfigError(f"data.{twice[0]}: is a setting of both {classes}; rename one of them")
    known = [*source_fields, *(name for name in stream_fields if name != "source")]
    mistakes = [
        _unknown(key, value, kind, elsewhere) or unknown_setting(key, value, source_class.__name__, known, "data", origin)
        for key, value in node.items()
        if key not in ("_target_", STREAM, *known)
    ]
    source_values, source_mistakes = converted(source_class, node, "data")
    stream_values, stream_mistakes = converted(stream_class, node, "data", but="source")
    mistakes += source_mistakes + stream_mistakes
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    source = make(source_class, source_values, "data")
    interface = setting_types(stream_class, "data").get("source")
    if not (isinstance(interface, type) and isinstance(source, interface)):
        needed = getattr(interface, "__name__", "source")
        raise ConfigError(
            f"data.streams.{kind}._target_={node[STREAM]}: {stream_class.__name__} needs a {needed}, which "
            f"{source_class.__name__} is not"
        )
    return make(stream_class, {**stream_values, "source": source}, "data")


def _unknown(key: Any, value: Any, kind: str, elsewhere: Mapping[str, Any]) -> str:
    """The message for a setting of the streams of other kinds of protocol; "" where it is none of these."""
    others = [name for name, section in elsewhere.items() if name != kind and isinstance(section, Mapping) and key in section]
    where = f"has no effect under protocol={kind}; it is a setting of {', '.join(others)}"
    return f"data.{key}={shown(value)}: {where}" if others else ""

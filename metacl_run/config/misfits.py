"""Messages for an algorithm, a protocol and data that do not go together: which of them do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metacl_run.config.components import component_class, target_of
from metacl_run.config.options import data_for, is_shipped, options, options_that_are
from metacl_run.core.errors import ConfigError


def learner_misfit(algo: type, learner: type, choices: Mapping[str, str]) -> str:
    """The message for an algorithm that is not the `learner` that the protocol needs."""
    return (
        f"algo={choices.get('algo', 'custom')}: does not fit protocol={choices.get('protocol', 'custom')}, which needs "
        f"{with_article(learner.__name__)}; {algo.__name__} is not. Works with: "
        f"{', '.join(options_that_are('algo', learner)) or 'none that ships'}"
    )


def algo_misfit(choices: Mapping[str, str]) -> str | None:
    """The message for options of `algo` and `protocol` that do not fit; None where they fit or are the user's own."""
    algo, protocol = (options(group).get(choices.get(group, "")) for group in ("algo", "protocol"))
    if algo is None or protocol is None or issubclass(algo, protocol.learner):  # type: ignore[attr-defined]
        return None
    return learner_misfit(algo, protocol.learner, choices)  # type: ignore[attr-defined]


def own_algo_misfit(target: object, choices: Mapping[str, str], overrides: Sequence[str]) -> str | None:
    """The message for an algorithm of the user's own that is none, or whose file does not choose the protocol that it is for;
    None where nothing is wrong with it, or it ships.

    Args:
        target: its class path.
    """
    name = choices.get("algo", "custom")
    if is_shipped("algo", name) or target is None:
        return None
    cls, protocols = component_class(target, "algo"), options("protocol")
    fitting = [own for own, protocol in protocols.items() if issubclass(cls, protocol.learner)]  # type: ignore[attr-defined]
    if not fitting:
        bases = (f"{protocol.learner.__name__} ({own})" for own, protocol in protocols.items())  # type: ignore[attr-defined]
        return f"algo={name}: {cls.__name__} is no algorithm of any protocol: it must extend one of {', '.join(bases)}"
    chosen = any(line.lstrip("+").startswith("protocol=") for line in overrides)
    if chosen or choices.get("protocol") in fitting or choices.get("protocol") not in protocols:
        return None
    return (
        f"algo={name}: {cls.__name__} learns under protocol={fitting[0]}, which its YAML file does not choose. Write under its "
        f"defaults: - override /protocol@_global_.protocol: {fitting[0]}"
    )


def stream_misfit(
    kind: str, node: Any, sections: Mapping[str, Any], choices: Mapping[str, str], overrides: Sequence[str]
) -> str:
    """The message for data that have no stream for the protocol; where the algorithm does not fit the protocol either, and
    nobody typed the data, the message for that.

    Args:
        kind: of the protocol.
        node: the config of the data.
        sections: the streams that they have, by kind of protocol.
        choices: the option chosen in each group.
        overrides: lines of the command.
    """
    data_chosen = any(line.lstrip("+").startswith("data=") for line in overrides)
    return (None if data_chosen else algo_misfit(choices)) or _data_misfit(kind, node, sections, choices)


def _data_misfit(kind: str, node: Any, sections: Mapping[str, Any], choices: Mapping[str, str]) -> str:
    """Says which data have a stream for the protocol, and which algorithms fit these data; arguments as above."""
    learners = [cls.learner for cls in options("protocol").values() if cls.kind in sections]  # type: ignore[attr-defined]
    algos = [name for learner in learners for name in options_that_are("algo", learner)]
    message = (
        f"data={choices.get('data', 'custom')}: does not fit protocol={choices.get('protocol', 'custom')}; it has streams for "
        f"{', '.join(map(str, sections))}. {_same_files(kind, node)}"
        f"Works with: {', '.join(data_for(kind)) or 'none that ships'}"
    )
    return f"{message}. Algorithms for these data: {', '.join(algos)}" if algos else message


def _same_files(kind: str, node: Any) -> str:
    """A sentence with the options that read files of these data and have a stream for a kind of protocol; "" for none."""
    try:
        others = component_class(target_of(node, "data"), "data").also_read_by  # type: ignore[attr-defined]
        words = [f"data={name} {others[name].format_map(node)}" for name in data_for(kind) if name in others]
    except (ConfigError, AttributeError, KeyError):  # no source, or one that lacks a setting
        return ""
    return f"Files of these data are read by {' or '.join(words)}. " if words else ""


def with_article(word: str) -> str:
    return f"an {word}" if word[0] in "AEIOU" else f"a {word}"

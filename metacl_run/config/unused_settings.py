"""Finds settings of a command line that change nothing, because of another setting or of the algorithm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metacl_run.config.components import setting_types
from metacl_run.config.type_words import plain_type
from metacl_run.core.bounds import NoEffectWith
from metacl_run.core.errors import shown


def unused_settings(parts: Mapping[str, Any], overrides: Sequence[str], algo: str) -> list[str]:
    """A warning for each override of a setting that changes nothing. A value of an option's file is no reason to warn.

    Args:
        parts: the components by group.
        overrides: lines of the command.
        algo: the name of the algorithm's option.
    """
    warnings = []
    for line in overrides:
        key = line.partition("=")[0].lstrip("+")
        group, _, name = key.partition(".")
        if group in parts and (reason := next(_reasons(parts, group, name, algo), None)) is not None:
            warnings.append(f"{shown(line)}: has no effect {reason}")
    return warnings


def no_effect_words(hint: Any, prefix: str) -> str:
    """Says with which value of which other setting one has no effect: "no effect with algo.replay=0"; "" where with none.

    Args:
        hint: the type of the setting.
        prefix: of the full keys of its component, "algo.".
    """
    marks = [mark for mark in plain_type(hint).bounds if isinstance(mark, NoEffectWith)]
    return "; ".join(f"no effect with {prefix}{mark.name}={', '.join(map(shown, mark.values))}" for mark in marks)


def _reasons(parts: Mapping[str, Any], group: str, name: str, algo: str) -> Iterator[str]:
    """Yields the reasons for which a setting changes nothing."""
    learner = parts["algo"]
    if name in {"algo": learner.unused_settings, "protocol": parts["protocol"].unused_settings(learner)}.get(group, ()):
        yield f"with algo={algo}"
    for component in (parts[group], *([parts[group].source] if group == "data" else [])):
        for mark in plain_type(setting_types(type(component), group).get(name)).bounds:
            if isinstance(mark, NoEffectWith) and (value := getattr(component, mark.name)) in mark.values:
                yield f"with {group}.{mark.name}={shown(value)}"

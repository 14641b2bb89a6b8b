"""Writes the page that lists all options: one line each, grouped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from option_page import table

from metacl_run.config.descriptions import Description

GROUPS = {"protocol": "Protocols", "algo": "Algorithms", "data": "Data", "model": "Models"}
"""The groups whose options have pages, with their headings."""
INTRODUCTION = """# What there is

Every protocol, algorithm, data set and model, one line each. The page behind a name has its equations, its settings with
types, bounds and defaults, what it was checked against and what was published. The algorithm chooses its protocol.

In a terminal: `metacl-run list algo` lists names, `metacl-run describe=algo/er` shows the content of such a page."""


def page(descriptions: Mapping[str, Sequence[Description]]) -> str:
    """The page in Markdown."""
    kinds = [protocol.name for protocol in descriptions["protocol"]]
    parts = [INTRODUCTION, "## Protocols", _lines(descriptions["protocol"]), "## Algorithms"]
    for kind in kinds:
        parts += [f"### {kind}", _lines([algo for algo in descriptions["algo"] if kind in algo.kinds])]
    rows = [
        (_link(data), data.summary, *("yes" if kind in data.kinds else "" for kind in kinds)) for data in descriptions["data"]
    ]
    parts += ["## Data", table(("`data=`", "what", *kinds), rows)]
    rows = [(_link(model), model.summary, ", ".join(model.inputs)) for model in descriptions["model"]]
    parts += ["## Models", table(("`model=`", "what", "takes"), rows)]
    return "\n\n".join(parts) + "\n"


def _lines(descriptions: Sequence[Description]) -> str:
    return table((f"`{descriptions[0].group}=`", "what"), [(_link(option), option.summary) for option in descriptions])


def _link(option: Description) -> str:
    return f"[{option.name}]({option.group}/{option.name}.md)"

"""Writes the page of an option: what it is, its equations, settings, company, checks and published results."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import docstring
import yaml
from published import Published, StoredSummary

from metacl_run.config.citations import references
from metacl_run.config.components import config_dir
from metacl_run.config.descriptions import Description, Setting
from metacl_run.config.option_files import OptionFiles

CHECKS = yaml.safe_load((Path(__file__).parent / "checks.yaml").read_text(encoding="utf-8"))
SOURCE_ROOT = "metacl_run."
DATA_ROOT = "data.root=../shared/data"
"""What a command of the documentation adds where the data are files; the folder is the reader's."""


def page(description: Description, files: OptionFiles, numbers: Sequence[Published], summaries: Sequence[StoredSummary]) -> str:
    """The page in Markdown.

    Args:
        description: of the option.
        files: all options.
        numbers: published ones of the algorithm.
        summaries: all stored runs.
    """
    more = description.prose.removeprefix(description.summary).strip()
    parts = [f"# {description.name}", f"**{description.summary}**", more, _commands(description, files), _facts(description)]
    parts += _method(description)
    parts += ["## Settings", *_settings(description)]
    parts += _company(description)
    if description.group == "algo":
        parts += [*_checks(description), *_published(numbers), *_stored(description, summaries)]
    parts += _citations(description)
    return "\n\n".join(part for part in parts if part) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows]
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *lines])


def links(group: str, names: Iterable[str]) -> str:
    """Links to the pages of options, from the page of an option."""
    return ", ".join(f"[{name}](../{group}/{name}.md)" for name in names)


def _commands(description: Description, files: OptionFiles) -> str:
    """The shortest command that runs, and the one of the docstring for this option, with the folder of its data."""
    commands = [_with_data(description.example, files)]
    for command in docstring.parse(description.doc).commands if description.group == "algo" else []:
        words = command.split()
        words[1] = f"algo={description.name}"
        commands.append(_with_data(" ".join(words), files))
    return "```bash\n" + "\n".join(dict.fromkeys(commands)) + "\n```"


def _with_data(command: str, files: OptionFiles) -> str:
    match = re.search(r"\bdata=(\w+)", command)
    needs_folder = match is not None and "root" in files.option("data", match[1]).settings
    return f"{command} {DATA_ROOT}" if needs_folder else command


def _facts(description: Description) -> str:
    facts = []
    if description.group == "algo":
        facts.append(f"Protocol: [{description.kinds[0]}](../protocol/{description.kinds[0]}.md)")
    if description.group == "data":
        facts.append(f"Protocols: {links('protocol', description.kinds)}")
    if description.inputs:
        facts.append(f"Takes {', '.join(description.inputs)}")
    if description.parents:
        facts.append(f"A variant of {links(description.group, description.parents)}")
    if description.class_path is not None and description.class_path.startswith(SOURCE_ROOT):
        facts.append(f"Code: `{_file(description.class_path)}`")
    facts.append(f"Values: `configs/{description.group}/{description.name}.yaml`")
    return "\n".join(f"- {fact}" for fact in facts)


def _file(class_path: str) -> str:
    return class_path.rpartition(".")[0].replace(".", "/") + ".py"


def _method(description: Description) -> list[str]:
    """The docstring of the module; under a picture, for a protocol."""
    text = docstring.parse(description.doc)
    picture = f'<div class="picture">\n--8<-- "{description.name}.svg"\n</div>' if description.group == "protocol" else ""
    heading = "## Method" if description.group == "algo" else "## What it is"
    return [heading, picture, text.title, text.body, text.differences]


def _settings(description: Description) -> list[str]:
    parts = [_table_of(description.settings)] if description.settings else ["None."] if not description.streams else []
    for stream in description.streams:
        text = docstring.parse(stream.doc)
        parts += [f"### Under {stream.kind}", text.title, f"Code: `{_file(stream.class_path)}`", _table_of(stream.settings)]
        parts += [text.body, text.differences.replace("### ", "#### ")]
    return parts


def _table_of(settings: Sequence[Setting]) -> str:
    rows = [
        (
            f"`{setting.key}`",
            ", ".join(part for part in setting.words[:2] if part),
            f"`{setting.default}`",
            _cell(setting.comment),
        )
        for setting in settings
    ]
    return table(("setting", "type and bounds", "default", "meaning"), rows)


def _cell(comment: str) -> str:
    """A comment as plain text: `*` and `<` are no markup in it."""
    return comment.replace("\\", "\\\\").replace("*", "\\*").replace("<", "&lt;").replace("[", "\\[")


def _citations(description: Description) -> list[str]:
    """The BibTeX entries that an option cites, its own or those of the options that it builds on."""
    entries = references([config_dir()])
    texts = [entries[key] for key in description.cites]
    return ["## Cite", "```bibtex\n" + "\n\n".join(texts) + "\n```"] if texts else []


def _company(description: Description) -> list[str]:
    rows = []
    if description.fits:
        group = "data" if description.group == "algo" else "algo"
        rows.append(f"{'Data' if group == 'data' else 'Algorithms'}: {links(group, description.fits)}")
    if description.experiments:
        rows.append("Presets: " + ", ".join(f"`experiment={name}`" for name in description.experiments))
    if description.tables:
        rows.append("Papers' tables: " + ", ".join(f"`table={name}`" for name in description.tables))
    return ["## Goes with", "\n".join(f"- {row}" for row in rows)] if rows else []


def _checks(description: Description) -> list[str]:
    checks = CHECKS.get(description.kinds[0], {})
    lines = [*checks.get(description.name, []), *checks.get("all", [])]
    return ["## Checked against", "\n".join(f"- {line}" for line in lines)] if lines else []


def _published(numbers: Sequence[Published]) -> list[str]:
    if not numbers:
        return []
    rows = [
        (number.place, number.published, number.confidence, number.ours or "not run", number.verdict, f"`{number.table}`")
        for number in numbers
    ]
    head = ("number", "published", "how sure", "ours (95% interval)", "verdict", "`table=`")
    note = "How a verdict is reached: [Reproduce a paper's table](../../tables.md). Every departure is in the table's file."
    return ["## Published results", note, table(head, rows)]


def _stored(description: Description, summaries: Sequence[StoredSummary]) -> list[str]:
    rows = [
        (
            f"[{summary.path}](../../results/{summary.path})",
            summary.content["data"],
            str(len(summary.content["seeds"])),
            summary.score,
        )
        for summary in summaries
        if summary.content["algo"] == description.name
    ]
    if not rows:
        return []
    note = "Commands, sizes and what departs: [Results](../../results/README.md)."
    return ["## Stored runs", note, table(("summary", "data", "seeds", "score (95% interval)"), rows)]

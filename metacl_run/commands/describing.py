"""Describes an option: `metacl-run describe=algo/maml`, `describe algo/maml data/omniglot`, `describe=maml`.

The name alone is enough where only one group has it. The page has what the option is, what it fits, a command that runs it, its
settings with types, bounds, defaults and comments, and the notes of its code: formulas, differences from the paper.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from metacl_run.commands.text_pages import docstring, entry, hanging, page_width, paragraph
from metacl_run.config.descriptions import Description, Setting, describe
from metacl_run.config.option_files import GROUPS_TO_CHOOSE, OptionFiles
from metacl_run.config.unused_settings import no_effect_words
from metacl_run.core.errors import ConfigError, nearest, shown

COLUMN = 12
MOST_NAMES = 8
"""Most presets and tables that are listed by name."""


def run(words: Sequence[str], user_folder: str | None) -> int:
    """Prints a page for every option. Raises ConfigError."""
    if not any(words):
        raise ConfigError("describe: takes an option, as in metacl-run describe=algo/maml; `metacl-run list` lists them")
    files = OptionFiles(user_folder)
    options = [option_of(word, files) for word in words]
    descriptions = [_with_folder(describe(group, name, files), user_folder) for group, name in options]
    print("\n\n".join("\n".join(page(description, page_width())) for description in descriptions))
    return 0


def _with_folder(description: Description, user_folder: str | None) -> Description:
    """The description, with --config-dir in the command of an option that is the user's."""
    if user_folder is None or not (Path(user_folder) / description.group / f"{description.name}.yaml").is_file():
        return description
    command = f"metacl-run --config-dir {shlex.quote(user_folder)}"
    return description._replace(example=description.example.replace("metacl-run", command, 1))


def option_of(word: str, files: OptionFiles) -> tuple[str, str]:
    """The group and the name that a word means: algo/maml, algo=maml, or maml where one group has it. Raises ConfigError."""
    group, slash, name = word.replace("=", "/").partition("/")
    if slash:
        if group not in GROUPS_TO_CHOOSE:
            groups = ", ".join(GROUPS_TO_CHOOSE)
            raise ConfigError(
                f"describe={shown(word)}: there is no group {group}.{nearest(group, GROUPS_TO_CHOOSE)} Groups: {groups}"
            )
        return group, name
    if word in GROUPS_TO_CHOOSE:
        raise ConfigError(
            f"describe={word}: is a group; `metacl-run list {word}` lists its options, describe={word}/NAME says more"
        )
    owners = [candidate for candidate in GROUPS_TO_CHOOSE if word in files.names(candidate)]
    if len(owners) == 1:
        return owners[0], word
    if owners:
        raise ConfigError(f"describe={word}: is an option of several groups: {', '.join(f'{one}/{word}' for one in owners)}")
    names = [name for candidate in GROUPS_TO_CHOOSE for name in files.names(candidate)]
    raise ConfigError(
        f"describe={shown(word)}: there is no such option.{nearest(word, names)} `metacl-run list` lists all of them"
    )


def page(description: Description, width: int) -> Iterator[str]:
    """The lines of an option's page."""
    yield f"{description.group}={description.name}"
    yield paragraph(description.prose, width)
    yield ""
    for name, text in facts(description):
        if text:
            yield entry(name, text, width, COLUMN)
    if description.settings:
        yield "\nSettings" if description.group != "table" else "\nThe table"
        yield from _settings(description.settings, description.name, width)
    for stream in description.streams:
        yield f"\nSettings under protocol={stream.kind}"
        yield from _settings(stream.settings, description.name, width)
    if description.doc:
        yield "\nNotes"
        yield docstring(description.doc, width)


def facts(description: Description) -> list[tuple[str, str]]:
    """What an option goes together with, by name; texts may be empty."""
    other = {"algo": "data", "data": "algorithms", "protocol": "algorithms"}.get(description.group, "")
    return [
        ("run it", description.example),
        ("protocol", ", ".join(description.kinds) if description.group != "protocol" else ""),
        (other, ", ".join(description.fits)),
        ("inputs", ", ".join(description.inputs)),
        ("builds on", ", ".join(description.parents)),
        ("chooses", " ".join(f"{group}={name}" for group, name in description.chooses.items())),
        ("presets", _names("experiment", description.experiments)),
        ("tables", _names("table", description.tables)),
        ("cites", ", ".join(description.cites)),
        ("class", description.class_path or ""),
    ]


def _names(group: str, names: Sequence[str]) -> str:
    words = " ".join(f"{group}={name}" for name in names[:MOST_NAMES])
    return f"{words} and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else words


def _settings(settings: Sequence[Setting], option: str, width: int) -> Iterator[str]:
    for setting in settings:
        yield hanging(f"{setting.key}={setting.default}", width, 2, 6)
        no_effect = no_effect_words(setting.hint, setting.key.removesuffix(setting.key.rpartition(".")[2]))
        words = "; ".join(part for part in (setting.words.type, setting.words.bounds, no_effect) if part)
        origin = f"(from {setting.option})" if setting.option != option else ""
        for text in (setting.comment, " ".join(part for part in (words, origin) if part)):
            if text:
                yield paragraph(text, width, indent=6)

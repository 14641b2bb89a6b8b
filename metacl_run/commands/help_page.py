"""The text of `metacl-run --help`: usage, commands, groups, flags, settings; with algo=NAME the settings of that option."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from importlib.util import find_spec

from metacl_run.commands.command import COMMANDS
from metacl_run.commands.text_pages import docstring, entry, page_width, paragraph
from metacl_run.config import arguments
from metacl_run.config.choices import all_choices, explicit_choices, names, settings_under, top_level_settings
from metacl_run.config.option_files import GROUP_WORDS, OptionFiles, Written
from metacl_run.core.errors import shown

USAGE = """\
metacl-run: meta-learning and continual learning experiments

Usage
  metacl-run [group=option ...] [key=value ...] [flags]

  metacl-run                                   a small run; needs no files
  metacl-run algo=maml data=split_omniglot     an algorithm and its data
  metacl-run algo=er seeds=[0,1,2]             three seeds in one run
  metacl-run -m algo=maml,reptile              a sweep: a run for each value
  metacl-run -m search.trials=30 'algo.inner_lr=tag(log,interval(0.01,1))'
                                               a search on validation data
  metacl-run table=mer table.size=reduced      a paper's table, ours beside it
  metacl-report runs                           compares the runs of a folder
"""
END = (
    "A run is kept in output_dir/<data>/<algo>/<run id>. The same settings are the same run: a finished one is shown, an "
    "interrupted one goes on; rerun=true computes it again. Exit status: 0 completed, 1 a mistake in the command, 3 diverged, "
    "130 interrupted."
)
COLUMN, KEY_COLUMN = 16, 26


def text(overrides: Sequence[str], user_folder: str | None) -> str:
    """The help for a command line.

    Args:
        overrides: where they choose options, the settings of these are shown in place of the general help.
        user_folder: of --config-dir.

    Raises:
        ConfigError: an option does not exist.
    """
    files, width = OptionFiles(user_folder), page_width()
    explicit = explicit_choices(overrides)
    return "\n".join(_chosen(explicit, overrides, files, width) if explicit else _general(files, width))


def of_command(name: str) -> str:
    """The help for one of `COMMANDS`."""
    return docstring(_module_doc(COMMANDS[name]), page_width())


def _general(files: OptionFiles, width: int) -> Iterator[str]:
    yield USAGE
    yield "Commands                              (metacl-run COMMAND --help: more)"
    for name, module in COMMANDS.items():
        yield _entry(name, " ".join(_module_doc(module).split("\n\n")[0].split()), width)
    yield "\nGroups                                (metacl-run list GROUP: its options)"
    for group, words in GROUP_WORDS.items():
        default = f"; default {files.defaults[group]}" if group in files.defaults else ""
        yield _entry(group, f"{words} ({len(files.names(group))} options{default})", width)
    yield "\nFlags"
    for action in arguments.shown_actions():
        yield _entry(", ".join(reversed(action.option_strings)), str(action.help), width, KEY_COLUMN)
    yield "\nSettings outside the groups"
    yield from _settings(top_level_settings(), "", width)
    yield "\nMore"
    yield _entry("metacl-run algo=maml --help", "the settings of an option", width, 31)
    yield _entry("metacl-run describe=algo/maml", "with types, bounds and the method's formulas", width, 31)
    yield _entry("docs/", "the documentation, in the repository", width, 31)
    yield f"\n{paragraph(END, width)}"


def _chosen(explicit: dict[str, str], overrides: Sequence[str], files: OptionFiles, width: int) -> Iterator[str]:
    """The settings of the options that a user named; of data, those for the protocol of the algorithm."""
    kind = files.kind(all_choices(overrides, files)["protocol"])
    for option in (files.option(group, name) for group, choice in explicit.items() for name in names(choice)):
        yield paragraph(f"{option.group}={option.name}: {option.prose}", width)
        yield from _settings(settings_under(option, kind), option.prefix, width)
        if option.streams and kind not in option.streams:
            yield f"  (no settings for protocol={kind}; it is for {', '.join(option.streams)})"
        yield ""
    group, choice = next(iter(explicit.items()))
    yield paragraph(
        f"Types, bounds and notes: metacl-run describe={group}/{names(choice)[0]}. Everything else: metacl-run --help", width
    )


def _settings(settings: dict[str, Written], prefix: str, width: int) -> Iterator[str]:
    for key, value in settings.items():
        yield _entry(f"{prefix}{key}={shown(value.text)}", value.comment, width, KEY_COLUMN)


def _entry(name: str, words: str, width: int, column: int = COLUMN) -> str:
    return "\n".join(f"  {line}".rstrip() for line in entry(name, words, width - 2, column).splitlines())


def _module_doc(module: str) -> str:
    """The docstring of a module, which is not imported."""
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    with open(spec.origin, encoding="utf-8") as file:
        return ast.get_docstring(ast.parse(file.read())) or ""

"""Commands and links of the documents, and the check that a command is one that works: composed and checked, not run."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

from metacl_run.commands.command import command_of
from metacl_run.config import arguments
from metacl_run.config.components import fill
from metacl_run.config.compose import compose_command, expand, split
from metacl_run.core.errors import DataError
from metacl_run.reproduction.paper_table import parse
from metacl_run.sweeps.search import SearchSettings, prepare
from tests.support.composing import experiment_of

READERS = ("hydra", "start_from=")
"""Overrides that name what only a reader has: an installed launcher, a run."""
PROGRAMS = ("metacl-run", "scripts/run.sh")


def bash_lines(text: str) -> list[str]:
    """The commands of all fenced bash blocks, continued lines joined."""
    blocks = re.findall(r"^ *```bash\n(.*?)^ *```", text, flags=re.MULTILINE | re.DOTALL)
    return [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]


def commands(text: str) -> list[str]:
    """Those of them that start an experiment."""
    return list(dict.fromkeys(line for line in bash_lines(text) if line.split(maxsplit=1)[:1] and line.split()[0] in PROGRAMS))


def jobs(line: str) -> tuple[list[list[str]], str | None]:
    """The overrides of every job of a command, and what follows --config-dir."""
    flags = arguments.parse(shlex.split(line, comments=True)[1:])
    return expand(flags.overrides, multirun=flags.multirun), flags.config_dir


def links(text: str) -> list[str]:
    """Targets of Markdown links and of HTML images that are files of the project."""
    targets = re.findall(r"\]\(([^)\s]+)[^)]*\)", text) + re.findall(r"""(?:src|href)=["']([^"']+)["']""", text)
    return [target.partition("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)]


def check_command(line: str) -> str | None:
    """Composes a command and checks all its settings.

    Returns:
        Why it could not be checked: its data are not here, or it names a folder of the reader's. None for a command that works.

    Raises:
        UserError: what is wrong with the command.
    """
    flags = arguments.parse(shlex.split(line, comments=True)[1:])
    if command_of(flags.overrides) is not None or flags.version or flags.help:
        return None
    parts = split(flags.overrides)
    settings = compose_command(parts.command) if parts.command else {}
    if any(word.startswith("search.") for word in parts.command):
        assert prepare(fill(SearchSettings, settings["search"], "search"), parts, None).dimensions
        return None
    if settings.get("name") is not None:  # its runs are composed in tests/reproduction
        size = settings["table"].pop("size")
        table = parse(settings["table"])
        assert all(table.overrides_of(run, size) for run in table.runs)
        return None
    composed, folder = jobs(line)
    assert composed
    if folder is not None and not Path(folder).is_dir():
        return f"--config-dir {folder}: the reader's own"
    reasons = (_check_job(tuple(job), folder) for job in composed)
    return next((reason for reason in reasons if reason is not None), None)


@cache
def _check_job(job: tuple[str, ...], folder: str | None) -> str | None:
    """As `check_command`, for one job; the documents repeat some of them."""
    try:
        experiment_of([word for word in job if not word.startswith(READERS)], folder)
    except DataError as error:
        return f"its data are not here: {error}"
    return None

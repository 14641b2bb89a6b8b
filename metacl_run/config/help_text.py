"""The text of `metacl-run --help`: usage, choices of every group, and the settings of what is chosen with their comments."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Mapping
from pathlib import Path

import yaml

from metacl_run.config import arguments
from metacl_run.config.components import GROUPS, config_dir

CHOSEN = (*GROUPS, "experiment", "table")
"""Groups that a user chooses from; `pair` follows from algo and data."""
USAGE = """\
metacl-run: meta-learning and continual learning experiments

Usage:  metacl-run [group=choice ...] [key=value ...] [flags]
        metacl-run                                          a small complete run, no files needed
        metacl-run algo=maml data=split_omniglot data.root=DATA
        metacl-run algo=maml algo.replay=100 seeds=[0,1,2]  three seeds in one run, with a memory
        metacl-run algo=la_maml insight=full                online: a stream once through; what happened inside
        metacl-run -m algo=maml,reptile,protonet            a sweep; hydra/launcher=joblib: jobs side by side
        metacl-run -m search.trials=30 'algo.inner_lr=interval(0.01,1)'   a search on validation data
        metacl-run table=la_maml_mnist table.size=reduced   a paper's table, ours beside the paper's
        metacl-run algo=reptile --cfg job                   show the config, run nothing
"""
END = """\
Runs are kept in output_dir/<data>/<algo>/<run id>. The same config is the same run: finished, it is shown;
interrupted, it goes on; rerun=true computes it again. Exit status: 0 completed, 1 a mistake in the command,
3 diverged, 130 interrupted."""


def text(choices: Mapping[str, str], user_folder: str | None) -> str:
    """The whole help.

    Args:
        choices: the option of each group whose settings are shown.
        user_folder: of --config-dir, with options of its own.
    """
    width = min(shutil.get_terminal_size().columns, 120)
    folders = [config_dir(), *([Path(user_folder)] if user_folder else [])]
    parts = [USAGE, "Groups and their choices", *(_group(group, folders, width) for group in CHOSEN), ""]
    parts += ["Flags", _flags(), "", "Settings outside the groups", _top_level()]
    for group in GROUPS:
        for option in choices[group].split(","):  # several loggers
            parts += ["", f"{group}={option}", *_settings(group, option, folders, choices["protocol"])]
    return "\n".join([*parts, "", END])


def _group(group: str, folders: list[Path], width: int) -> str:
    names = sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})
    return textwrap.fill(
        f"{group}: {', '.join(names)}",
        width,
        initial_indent="  ",
        subsequent_indent="      ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _flags() -> str:
    formatter = arguments.parser()._get_formatter()
    formatter.add_arguments(arguments.parser()._optionals._group_actions)
    return formatter.format_help().rstrip()


def _top_level() -> str:
    """The lines of config.yaml from the first setting to where Hydra's own begin."""
    lines = (config_dir() / "config.yaml").read_text(encoding="utf-8").splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("seeds:"))
    last = next((number for number, line in enumerate(lines) if line.startswith("hydra:")), len(lines))
    return textwrap.indent("\n".join(lines[first:last]).strip(), "  ")


def _settings(group: str, option: str, folders: list[Path], protocol: str) -> list[str]:
    """The file of an option as it is written, after those that it builds on; of its streams, the one for the protocol."""
    path = next((file for folder in folders if (file := folder / group / f"{option}.yaml").is_file()), None)
    if path is None:
        return []
    content = path.read_text(encoding="utf-8")
    parents = [item for item in yaml.safe_load(content).get("defaults", []) if isinstance(item, str) and item != "_self_"]
    inherited = [
        line for parent in parents for line in (f"  # {group}={parent}:", *_settings(group, parent, folders, protocol))
    ]
    own = re.sub(
        r"^(# @package .*\n|defaults:\n( +.*\n)*|_target_: .*\n)", "", f"{content.strip()}\n", flags=re.MULTILINE
    ).rstrip()
    own = _one_stream(own, protocol)
    return [*inherited, *([f"  # what {group}={option} changes:"] if inherited else []), textwrap.indent(own, "  ")]


def _one_stream(text: str, protocol: str) -> str:
    """The settings of a data option without its section `streams`, and those of the stream for a protocol in its place."""
    source, marker, sections = text.partition("\nstreams:")
    section = re.search(rf"^  {re.escape(protocol)}:\n((?:    .*\n?)*)", sections, flags=re.MULTILINE)
    if not marker or section is None:
        return text
    lines = [line for line in textwrap.dedent(section[1]).splitlines() if not line.startswith("_target_")]
    return "\n".join([source, f"# under protocol={protocol}:", *lines])

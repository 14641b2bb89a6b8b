"""Parses the flags of `metacl-run`, which are Hydra's where both have them, and the overrides around them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from metacl_run.core.errors import ConfigError, shown

REFUSED = {
    "experimental_rerun": "--experimental-rerun: would run what a pickle says; the same settings with rerun=true repeat a run",
    "config_name": "--config-name: there is one, config; presets are experiment=NAME, and more of them come with --config-dir",
    "config_path": "--config-path: the shipped options cannot be replaced; --config-dir FOLDER adds options of your own",
}
"""Flags that Hydra has and `metacl-run` does not."""
INFORMATION = ("help", "hydra_help", "cfg", "info", "shell_completion", "version")
"""Flags that show something and run nothing; one at a time."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{shown(message)}; `metacl-run --help` lists what there is")


def parser() -> argparse.ArgumentParser:
    """The flags, with the words for each."""
    flags = _Parser(prog="metacl-run", add_help=False, allow_abbrev=False)
    flags.add_argument("overrides", nargs="*", metavar="key=value", help="settings; group=choice takes an option of a group")
    flags.add_argument("--help", "-h", action="store_true", help="this text; with algo=NAME the settings of that one")
    flags.add_argument("--version", action="store_true", help="the version of metacl-run")
    flags.add_argument("--multirun", "-m", action="store_true", help="a sweep: every combination of several values")
    flags.add_argument(
        "--config-dir", "-cd", metavar="FOLDER", action=_Once, help="options of your own: FOLDER/algo/mine.yaml is algo=mine"
    )
    flags.add_argument("--cfg", "-c", choices=["job", "hydra", "all"], help="show the config and run nothing")
    flags.add_argument("--resolve", action="store_true", help="with --cfg: replace references by what they refer to")
    flags.add_argument("--package", "-p", help="with --cfg: only this part, as in algo")
    topics = ["all", "config", "defaults", "defaults-tree", "plugins", "searchpath"]
    flags.add_argument("--info", "-i", const="all", nargs="?", choices=topics, help="how Hydra puts the config together")
    flags.add_argument("--shell-completion", "-sc", action="store_true", help="install or remove completion by the TAB key")
    flags.add_argument("--hydra-help", action="store_true", help="Hydra's own help")
    flags.add_argument("--run", "-r", action="store_true", help=argparse.SUPPRESS)
    for name in REFUSED:
        flags.add_argument(f"--{name.replace('_', '-')}", nargs="?", const="", help=argparse.SUPPRESS)
    flags.add_argument("-cp", dest="config_path", help=argparse.SUPPRESS)
    flags.add_argument("-cn", dest="config_name", help=argparse.SUPPRESS)
    return flags


class _Once(argparse.Action):
    """A flag that may be there once."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: str | None = None) -> None:
        if getattr(namespace, self.dest) is not None:
            raise ConfigError(f"{option_string}: is there twice; one folder can have options of every group")
        setattr(namespace, self.dest, values)


def shown_actions() -> list[argparse.Action]:
    """The flags that the help lists."""
    return [action for action in parser()._actions if action.option_strings and action.help != argparse.SUPPRESS]


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parses the flags; `overrides` are all other words in their order. Raises ConfigError."""
    flags = parser().parse_intermixed_args(list(arguments))
    for name, words in REFUSED.items():
        if getattr(flags, name) is not None:
            raise ConfigError(words)
    several = [f"--{name.replace('_', '-')}" for name in (*INFORMATION, "multirun") if getattr(flags, name)]
    if len(several) > 1:
        raise ConfigError(f"{several[0]}: does not go with {several[1]}")
    for name in ("resolve", "package"):
        if getattr(flags, name) and not flags.cfg:
            raise ConfigError(f"--{name}: only goes with --cfg, as in metacl-run --cfg job --{name}")
    return flags

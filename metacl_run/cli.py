"""The command line: reads flags and overrides, and checks every job before starting the first. Imports no torch until then."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hydra._internal.utils import _run_hydra

from metacl_run import __version__
from metacl_run.config import arguments, help_text
from metacl_run.config.components import config_dir
from metacl_run.config.compose import (
    CONFIG_NAME,
    composable,
    compose_command,
    compose_job,
    config_text,
    expand,
    experiment_of,
    hydra_errors,
    split,
)
from metacl_run.config.load import Experiment
from metacl_run.config.overrides import Parts, grid
from metacl_run.config.user_folder import check_folder
from metacl_run.core.errors import ConfigError, UserError, described
from metacl_run.runtime.ranks import ALONE, Ranks, joined

FAILED, INTERRUPTED = 1, 130


def main() -> None:
    """Runs the command line and exits: 0 completed, 1 a mistake or a failure, 3 diverged, 130 interrupted."""
    warnings.filterwarnings("ignore", category=SyntaxWarning, module="wandb")
    try:
        with joined() as ranks:
            sys.exit(exit_status(sys.argv[1:], ranks))
    except UserError as error:  # the other processes of this run cannot be reached
        _say(str(error))
        sys.exit(FAILED)


def exit_status(words: Sequence[str], ranks: Ranks = ALONE) -> int:
    """Does what the words after `metacl-run` ask for; the exit status. What goes wrong is one message on stderr."""
    try:
        given = arguments.parse(words)
        check_folder(given.config_dir)
        if any(getattr(given, name) for name in arguments.INFORMATION):
            return inform(given)
        return command(given.overrides, given.config_dir, ranks, multirun=given.multirun)
    except UserError as error:
        _say(str(error))
        return FAILED
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # who reads what is printed has enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # a fault of ours; where a run was under way, its traceback is in run.log
        _say(described(error))
        return FAILED


def command(overrides: Sequence[str], user_folder: str | None, ranks: Ranks = ALONE, *, multirun: bool) -> int:
    """Does what a command line asks for, and returns the exit status.

    Raises:
        UserError: it cannot be done, and nothing was started.
    """
    parts = split(overrides, user_folder)
    if multirun or parts.command:
        return _several(parts, user_folder, ranks, multirun=multirun)
    with ranks.together():
        experiment = check(overrides, user_folder)
    from metacl_run.experiment import run

    return run(experiment, ranks)


def check(overrides: Sequence[str], user_folder: str | None) -> Experiment:
    """The experiment of a command that starts one run, composed, built and checked.

    Raises:
        UserError: every mistake, in one message.
    """
    parts = split(overrides, user_folder)
    if parts.hydra:
        raise ConfigError(f"{parts.hydra[0]}: has no effect on a single run; hydra/launcher= goes with metacl-run -m")
    (job,) = grid(parts.run, multirun=False)
    return experiment_of(job, user_folder)


def _several(parts: Parts, user_folder: str | None, ranks: Ranks, *, multirun: bool) -> int:
    """What starts several runs or looks at them: a table, a search, a sweep."""
    from metacl_run.sweeps.grid_command import run_sweep, wants_status

    asked = compose_command(parts.command, user_folder)
    searches = any(line.lstrip("+").startswith("search") for line in parts.command)
    several = multirun or searches or asked["name"] is not None or wants_status(asked)
    if several and ranks.count > 1:
        raise ConfigError(
            f"{ranks.count} processes compute one run together; sweeps, searches and tables start processes of their own. "
            "Start them without torchrun"
        )
    if asked["name"] is not None:
        from metacl_run.reproduction.table_command import run_table

        return run_table(asked, parts, user_folder, multirun=multirun)
    if searches:
        from metacl_run.sweeps.search_command import run_search

        return run_search(asked, parts, user_folder, multirun=multirun)
    if any(line.lstrip("+").startswith("table") for line in parts.command):
        raise ConfigError(f"{parts.command[0]}: has no effect without table=<name>")
    return run_sweep(asked, parts, user_folder, multirun=multirun)


def inform(given: argparse.Namespace) -> int:
    """Shows what a flag asks for and runs nothing.

    Raises:
        ConfigError: the overrides cannot be composed.
    """
    if given.version:
        print(f"metacl-run {__version__}")
        return 0
    if given.help:
        (job,) = expand(given.overrides, given.config_dir, multirun=False)
        print(help_text.text(compose_job(job, given.config_dir)[1], given.config_dir))
        return 0
    if given.cfg == "job":
        (job,) = expand(given.overrides, given.config_dir, multirun=False)
        print(config_text(job, given.config_dir, package=given.package, resolve=given.resolve))
        return 0
    if not given.shell_completion:
        expand(given.overrides, given.config_dir, multirun=False)
        given.overrides = composable(given.overrides, given.config_dir)
    with hydra_errors(given.config_dir), _errors_from_hydra():
        try:
            _run_hydra(
                args=given,
                args_parser=arguments.parser(),
                task_function=_never_called,
                config_path=str(config_dir()),
                config_name=CONFIG_NAME,
            )
        except SystemExit as end:  # Hydra's way to end after its own help
            return int(end.code or 0)
    return 0


def _never_called(config: object) -> None:
    raise AssertionError("flags that show something run nothing")


@contextmanager
def _errors_from_hydra() -> Iterator[None]:
    """Makes Hydra raise its errors instead of printing them."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before


def _say(message: str) -> None:
    print(f"metacl-run: {message}", file=sys.stderr)


if __name__ == "__main__":
    main()

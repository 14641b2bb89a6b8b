"""The command line. Parses Hydra overrides and checks every job before starting the first; imports no torch until then."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hydra._internal.utils import _run_hydra

from metacl_run.commands import help_page
from metacl_run.commands.command import COMMANDS, command_of
from metacl_run.config import arguments
from metacl_run.config.completion import candidates
from metacl_run.config.components import config_dir
from metacl_run.config.compose import (
    CONFIG_NAME,
    composable,
    compose_command,
    config_text,
    expand,
    hydra_errors,
    single_experiment,
    split,
)
from metacl_run.config.overrides import Parts, grid
from metacl_run.config.user_folder import check_folder
from metacl_run.core.errors import ConfigError, UserError, described
from metacl_run.core.exit_status import FAILED, INTERRUPTED
from metacl_run.core.output import any_letter_printed
from metacl_run.core.version import __version__
from metacl_run.runtime.process_group import call_on_ranks
from metacl_run.runtime.ranks import ALONE, Ranks


def main() -> None:
    """Runs the command line and exits: 0 completed, 1 a mistake or a failure, 3 diverged, 130 interrupted."""
    warnings.filterwarnings("ignore", category=SyntaxWarning, module="wandb")
    if "OMP_WAIT_POLICY" not in os.environ:
        # Torch's idle threads spin for microseconds, then sleep. As they are, they spin for so long that beside another program
        # they take the core that the work waits for.
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    sys.exit(exit_status(sys.argv[1:]))


@any_letter_printed()
def exit_status(words: Sequence[str]) -> int:
    """Runs the words after `metacl-run` and returns the exit status. What goes wrong is one message on stderr."""
    try:
        return call_on_ranks(lambda ranks: _run_words(words, ranks))
    except UserError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        _fail("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # who reads what is printed has enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # a fault of ours; where a run was under way, its traceback is in run.log
        return _fail(described(error))


def _run_words(words: Sequence[str], ranks: Ranks) -> int:
    with ranks.together():
        flags = arguments.parse(words)
        check_folder(flags.config_dir)
        if any(getattr(flags, name) for name in arguments.INFORMATION):
            return inform(flags)
    if beside := command_of(flags.overrides):
        if flags.multirun:
            raise ConfigError(f"{beside.name}: does not go with --multirun")
        if ranks.count > 1:
            raise ConfigError(f"{beside.name}: is a command for one process; start it without torchrun")
        return beside.run(flags.config_dir)
    return command(flags.overrides, flags.config_dir, ranks, multirun=flags.multirun)


def command(overrides: Sequence[str], user_folder: str | None, ranks: Ranks = ALONE, *, multirun: bool) -> int:
    """Runs a command line without flags, and returns the exit status.

    Raises:
        UserError: it cannot be run, and nothing was started.
    """
    with ranks.together():
        parts = split(overrides, user_folder)
        if multirun or parts.command:
            return _run_several(parts, user_folder, multirun=multirun, num_ranks=ranks.count)
        experiment = single_experiment(overrides, user_folder)
    from metacl_run.experiment import run

    return run(experiment, ranks)


def _run_several(parts: Parts, user_folder: str | None, *, multirun: bool, num_ranks: int) -> int:
    """Runs a table, a search or a sweep, or shows how far it is; returns the exit status."""
    from metacl_run.sweeps.grid_command import run_sweep, wants_status

    nodes = compose_command(parts.command, user_folder)
    is_search = any(line.lstrip("+").startswith("search") for line in parts.command)
    if num_ranks > 1 and (multirun or is_search or nodes["name"] is not None or wants_status(nodes)):
        raise ConfigError(
            f"{num_ranks} processes compute one run together; sweeps, searches and tables start processes of their own. "
            "Start them without torchrun"
        )
    if nodes["name"] is not None:
        from metacl_run.reproduction.table_command import run_table

        return run_table(nodes, parts, user_folder, multirun=multirun)
    if is_search:
        from metacl_run.sweeps.search_command import run_search

        return run_search(nodes, parts, user_folder, multirun=multirun)
    if any(line.lstrip("+").startswith("table") for line in parts.command):
        raise ConfigError(f"{parts.command[0]}: has no effect without table=<name>")
    return run_sweep(nodes, parts, user_folder, multirun=multirun)


def inform(flags: argparse.Namespace) -> int:
    """Prints the version, the help or what else a flag asks for; starts no run.

    Raises:
        ConfigError: the overrides cannot be composed.
    """
    if flags.version:
        print(f"metacl-run {__version__}")
        return 0
    if flags.help:
        print(_help(flags))
        return 0
    if flags.cfg == "job":
        parts = split(flags.overrides, flags.config_dir)
        if beside := [*parts.command, *parts.hydra]:
            raise ConfigError(f"{beside[0]}: has no place in the config of one run, which --cfg job shows")
        (job,) = grid(parts.run, multirun=False)
        print(config_text(job, flags.config_dir, package=flags.package, resolve=flags.resolve))
        return 0
    if flags.shell_completion and any(word.startswith("query=") for word in flags.overrides):
        names = [name for action in arguments.shown_actions() for name in action.option_strings]
        print("\n".join(candidates(os.environ.get("COMP_LINE", ""), COMMANDS, names)))
        return 0
    if not flags.shell_completion:
        expand(flags.overrides, flags.config_dir, multirun=False)
        flags.overrides = composable(flags.overrides, flags.config_dir)
    with hydra_errors(flags.config_dir), _errors_from_hydra():
        try:
            _run_hydra(
                args=flags,
                args_parser=arguments.parser(),
                task_function=_never_called,
                config_path=str(config_dir()),
                config_name=CONFIG_NAME,
            )
        except SystemExit as end:  # Hydra ends so after its own help
            return int(end.code or 0)
    return 0


def _help(flags: argparse.Namespace) -> str:
    if beside := command_of(flags.overrides):
        return help_page.of_command(beside.name)
    expand(flags.overrides, flags.config_dir, multirun=False)  # refuses what is no override
    return help_page.text(flags.overrides, flags.config_dir)


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


def _fail(message: str) -> int:
    print(f"metacl-run: {message}", file=sys.stderr)
    return FAILED


if __name__ == "__main__":
    main()

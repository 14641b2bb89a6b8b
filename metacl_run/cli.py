"""The command line: Hydra's, with every job checked before the first one starts. Imports no torch until a run does."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from metacl_run.compose import CONFIG_NAME, compose_command, compose_job, expand, of_the_run, split
from metacl_run.config import ConfigError, config_dir, folder_of_configs, load
from metacl_run.errors import UserError
from metacl_run.ranks import ALONE, Ranks, joined

INTERRUPTED = 130


def main() -> None:
    """Runs the command line and exits: 0 completed, 1 a mistake or a failure, 3 diverged, 130 interrupted."""
    warnings.filterwarnings("ignore", category=SyntaxWarning, module="wandb")
    try:
        with joined() as ranks:
            sys.exit(_exit_status(ranks))
    except UserError as error:  # the other processes of this run cannot be reached
        _say(str(error))
        sys.exit(1)


def _exit_status(ranks: Ranks) -> int:
    arguments = get_args_parser().parse_args()
    if arguments.resolve and not arguments.cfg:
        _say("--resolve: only goes with --cfg, as in metacl-run --cfg job --resolve")
        return 1
    informational = (arguments.help, arguments.hydra_help, arguments.cfg, arguments.info, arguments.shell_completion)
    try:
        if any(informational):
            return _through_hydra(ranks)
        return command(arguments.overrides, arguments.config_dir, ranks, multirun=arguments.multirun)
    except UserError as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED


def command(overrides: Sequence[str], user_folder: str | None, ranks: Ranks = ALONE, *, multirun: bool) -> int:
    """Does what a command line asks for, and returns the exit status.

    Raises:
        UserError: it cannot be done, and nothing was started.
    """
    folder_of_configs(user_folder)
    parts = split(overrides)
    asked = compose_command(parts.command, user_folder)
    searches = any(line.startswith("search.") for line in parts.command)
    from metacl_run.sweeps.command import run_sweep, wants_status

    several = multirun or searches or asked["name"] is not None or wants_status(asked)
    if several and ranks.count > 1:
        raise ConfigError(
            f"{ranks.count} processes compute one run together; sweeps, searches and tables start processes of their own. "
            "Start them without torchrun"
        )
    if asked["name"] is not None:
        from metacl_run.tables.command import run_table

        return run_table(asked, parts, user_folder, multirun=multirun)
    if searches:
        from metacl_run.sweeps.search_command import run_search

        return run_search(asked, parts, user_folder, multirun=multirun)
    if any(line.startswith("table.") for line in parts.command):
        raise ConfigError(f"{parts.command[0]}: has no effect without table=<name>")
    if several:
        return run_sweep(asked, parts, expand(overrides, multirun=multirun), user_folder)
    with ranks.together():
        check(overrides, user_folder)
    return _through_hydra(ranks)


def check(overrides: Sequence[str], user_folder: str | None) -> None:
    """Composes and builds the run of a command without running it.

    Raises:
        UserError: every mistake, in one message.
    """
    (job,) = expand(overrides, multirun=False)
    load(*compose_job(job, user_folder), job)


def _through_hydra(ranks: Ranks) -> int:
    """One run, or whatever else Hydra's own flags ask for; the exit status."""
    status: list[int] = []
    raised: list[BaseException] = []

    def job(config: DictConfig) -> None:
        try:
            status.append(_run(config, ranks))
        except (UserError, KeyboardInterrupt) as error:  # kept from Hydra, which would make a traceback of it
            raised.append(error)

    hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=CONFIG_NAME)(job)()
    if raised:
        raise raised[0]
    return max(status, default=0)


def _run(config: DictConfig, ranks: Ranks) -> int:
    try:
        settings = HydraConfig.get()
        choices = {key: value for key, value in settings.runtime.choices.items() if value is not None}
        experiment = load(of_the_run(config), choices, settings.overrides.task)
        from metacl_run.experiment import run

        return run(experiment, ranks)
    except UserError:
        raise
    except Exception as error:  # a fault of ours; its traceback is in run.log and has been printed
        _say(f"{type(error).__name__}: {error}")
        return 1


def _say(message: str) -> None:
    print(f"metacl-run: {message}", file=sys.stderr)


if __name__ == "__main__":
    main()

"""The command line: Hydra's, with every job checked before the first one starts. Imports no torch until a run does."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import hydra
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from metacl_run.config import ConfigError, config_dir, load
from metacl_run.errors import UserError, nearest
from metacl_run.ranks import Ranks, joined

CONFIG_NAME = "config"
INTERRUPTED, NOT_STARTED = 130, 131


class Finished(NamedTuple):
    """How one job of this command ended."""

    overrides: str
    status: int
    directory: Path | None


def main() -> None:
    """Runs the command line and exits: 0 completed, 1 a mistake or a failure, 3 diverged, 130 interrupted."""
    try:
        with joined() as ranks:
            _command(ranks)
    except UserError as error:  # the other processes of this run cannot be reached
        _say(str(error))
        sys.exit(1)


def _command(ranks: Ranks) -> None:
    warnings.filterwarnings("ignore", category=SyntaxWarning, module="wandb")
    arguments = get_args_parser().parse_args()
    if arguments.resolve and not arguments.cfg:
        _say("--resolve: only goes with --cfg, as in metacl-run --cfg job --resolve")
        sys.exit(1)
    informational = (arguments.help, arguments.hydra_help, arguments.cfg, arguments.info)
    if arguments.multirun and ranks.count > 1:
        _say(f"-m: the jobs of a sweep run one by one, not in {ranks.count} processes each; give their commands one by one")
        sys.exit(1)
    if not any(informational) and not arguments.shell_completion:
        try:
            with ranks.together():
                check(arguments.overrides, arguments.config_dir, multirun=arguments.multirun)
        except UserError as error:
            _say(str(error))
            sys.exit(1)
    finished: list[Finished] = []

    def job(config: DictConfig) -> None:
        stopped = any(each.status == INTERRUPTED for each in finished)
        finished.append(_not_started() if stopped else _job(config, ranks, counted=arguments.multirun))

    hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=CONFIG_NAME)(job)()
    if arguments.multirun:
        _sweep_ended(finished)
    sys.exit(min(max((each.status for each in finished), default=0), INTERRUPTED))


# ---------------------------------------------------------------------------------------------------- before any job starts


def expand(overrides: Sequence[str], *, multirun: bool) -> list[list[str]]:
    """The overrides of every job of a command: one list, or one for every point of a sweep's grid."""
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise ConfigError(f"cannot read the command line: {_first_lines(error)}") from None
    if not multirun or any(o.key_or_group == "hydra/sweeper" for o in parsed):
        for override in parsed:
            if override.is_sweep_override() and not multirun:
                raise ConfigError(f"{override.input_line}: several values are a sweep; start it with metacl-run -m")
        return [list(overrides)] if not multirun else []
    return [list(job) for batch in BasicSweeper.split_arguments(parsed, max_batch_size=None) for job in batch]


def check(overrides: Sequence[str], user_folder: str | None, *, multirun: bool) -> None:
    """Composes and builds every job of a command without running any.

    Raises:
        UserError: every mistake of every job, in one message.
    """
    if user_folder is not None and not Path(user_folder).is_dir():
        raise ConfigError(f"--config-dir={user_folder}: there is no such folder")
    mistakes = []
    for job in expand(overrides, multirun=multirun):
        try:
            load(*compose_job(job, user_folder), job)
        except UserError as error:
            if not multirun:
                raise
            mistakes.append(f"job {' '.join(job)}\n  " + str(error).replace("\n", "\n  "))
    if mistakes:
        raise ConfigError("nothing was started, since these jobs cannot run\n" + "\n".join(mistakes))


def compose_job(overrides: Sequence[str], user_folder: str | None = None) -> tuple[DictConfig, dict[str, str]]:
    """The composed config of one job and the option chosen in each group."""
    search = [f"hydra.searchpath=[file://{Path(user_folder).resolve()}]"] if user_folder else []
    GlobalHydra.instance().clear()
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        groups = GlobalHydra.instance().config_loader().list_groups("")
        groups += [each.name for each in Path(user_folder).iterdir() if each.is_dir()] if user_folder else []
        lines = [_forced(override, groups) for override in OverridesParser.create().parse_overrides(list(overrides))]
        try:
            config = compose(CONFIG_NAME, overrides=[*search, *lines], return_hydra_config=True)
            choices = {key: value for key, value in config.hydra.runtime.choices.items() if value is not None}
        except MissingConfigException as error:
            raise ConfigError(_no_such_option(error)) from None
        except (HydraException, OmegaConfBaseException, YAMLError) as error:
            raise ConfigError(_first_lines(error)) from None
    return _without_hydra(config), choices


def _forced(override: Override, groups: Sequence[str]) -> str:
    """key=value as ++key=value, so that a misspelt key composes and is reported with all other mistakes by `config.load`."""
    line, key = str(override.input_line), override.key_or_group
    is_choice = key.split("/")[0].split("@")[0] in groups and "." not in key
    if is_choice and not isinstance(override.value(), str) and (override.value() is not None or key != "experiment"):
        raise ConfigError(f"{line}: a group takes one option by its name, as in {key}=NAME; `metacl-run --help` lists them")
    return line if override.type != OverrideType.CHANGE or is_choice or key.startswith("hydra") else f"++{line}"


def _without_hydra(config: DictConfig) -> DictConfig:
    from omegaconf import OmegaConf, open_dict

    OmegaConf.set_struct(config, False)
    with open_dict(config):
        config.pop("hydra", None)
    return config


def _no_such_option(error: MissingConfigException) -> str:
    group, _, option = str(error.missing_cfg_file or "").rpartition("/")
    options = list(error.options or [])
    return f"{group}={option}: there is no such option.{nearest(option, options)} Options: {', '.join(options)}"


def _first_lines(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.strip().startswith("object_type=")]
    return "; ".join(lines[:4])


# ---------------------------------------------------------------------------------------------------------------- one job


def _job(config: DictConfig, ranks: Ranks, *, counted: bool) -> Finished:
    hydra_config = HydraConfig.get()
    overrides = " ".join(hydra_config.overrides.task)
    directory = None
    if counted:
        print(f"\njob {hydra_config.job.num}: {overrides}", flush=True)
    try:
        choices = {key: value for key, value in hydra_config.runtime.choices.items() if value is not None}
        experiment = load(config, choices, hydra_config.overrides.task)
        directory = experiment.directory
        from metacl_run.experiment import run

        return Finished(overrides, run(experiment, ranks), directory)
    except UserError as error:
        _say(str(error))
        return Finished(overrides, 1, directory)
    except KeyboardInterrupt:
        _say("interrupted")
        return Finished(overrides, INTERRUPTED, directory)
    except Exception as error:  # a fault of ours; its traceback is in run.log and has been printed
        _say(f"{type(error).__name__}: {error}")
        return Finished(overrides, 1, directory)


def _not_started() -> Finished:
    """For the jobs of a sweep behind one that was interrupted: the sweep was meant."""
    return Finished(" ".join(HydraConfig.get().overrides.task), NOT_STARTED, None)


def _sweep_ended(finished: Sequence[Finished]) -> None:
    words = {0: "completed", 1: "failed", 3: "diverged", INTERRUPTED: "interrupted", NOT_STARTED: "not started"}
    print("\nsweep:")
    for each in finished:
        print(f"  {words.get(each.status, each.status):<12} {each.overrides}  {each.directory or ''}")


def _say(message: str) -> None:
    print(f"metacl-run: {message}", file=sys.stderr)


if __name__ == "__main__":
    main()

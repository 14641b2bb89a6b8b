"""What is asked of Hydra: the jobs of a command line, the config of each, and the launcher that starts them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from hydra import compose, initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, MissingConfigException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from metacl_run.config import ConfigError, config_dir
from metacl_run.errors import nearest

CONFIG_NAME = "config"
COMMAND_NODES = ("sweep", "search", "table")
"""Nodes of the config that are about the command, not about a run: no run's config has them."""
MAY_BE_NONE = ("experiment", "table")


class Parts(NamedTuple):
    """The overrides of a command line by what they are about."""

    hydra: list[str]
    command: list[str]
    """Of `COMMAND_NODES`."""
    run: list[Override]


def split(overrides: Sequence[str]) -> Parts:
    """Reads overrides and sorts them."""
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise ConfigError(f"cannot read the command line: {_first_lines(error)}") from None
    parts = Parts([], [], [])
    for override in parsed:
        first = override.key_or_group.split(".")[0].split("/")[0].split("@")[0]
        if first == "hydra":
            parts.hydra.append(str(override.input_line))
        elif first in COMMAND_NODES:
            parts.command.append(str(override.input_line))
        else:
            parts.run.append(override)
    return parts


def expand(overrides: Sequence[str], *, multirun: bool) -> list[list[str]]:
    """The overrides of every job of a command: one list, or one for every point of a sweep's grid."""
    run = split(overrides).run
    for override in run:
        if override.is_sweep_override() and not multirun:
            raise ConfigError(f"{override.input_line}: several values are a sweep; start it with metacl-run -m")
        if override.is_sweep_override() and not override.is_discrete_sweep():
            raise ConfigError(f"{override.input_line}: an interval has no end of values; search.trials=N searches it")
    if not multirun:
        return [[str(override.input_line) for override in run]]
    return [list(job) for batch in BasicSweeper.split_arguments(run, max_batch_size=None) for job in batch]


def compose_job(overrides: Sequence[str], user_folder: str | None = None) -> tuple[DictConfig, dict[str, str]]:
    """The composed config of one job and the option chosen in each group."""
    config = _composed(overrides, user_folder)
    choices = {key: value for key, value in config.hydra.runtime.choices.items() if value is not None}
    return of_the_run(config), choices


def of_the_run(config: DictConfig) -> DictConfig:
    """What a composed config says of the run, without what it says of the command."""
    OmegaConf.set_struct(config, False)
    with open_dict(config):
        for key in ("hydra", *COMMAND_NODES):
            config.pop(key, None)
    return config


def compose_command(overrides: Sequence[str], user_folder: str | None = None) -> dict[str, Any]:
    """The nodes of `COMMAND_NODES`, and under "name" which table was chosen, if one was."""
    config = _composed(overrides, user_folder)
    found = {key: OmegaConf.to_container(config[key], resolve=True) for key in COMMAND_NODES if config.get(key) is not None}
    return {**found, "name": config.hydra.runtime.choices.get("table")}


def _composed(overrides: Sequence[str], user_folder: str | None) -> DictConfig:
    with _hydra(user_folder) as search:
        groups = GlobalHydra.instance().config_loader().list_groups("")
        groups += [each.name for each in Path(user_folder).iterdir() if each.is_dir()] if user_folder else []
        lines = [_forced(override, groups) for override in OverridesParser.create().parse_overrides(list(overrides))]
        try:
            config = compose(CONFIG_NAME, overrides=[*search, *lines], return_hydra_config=True)
        except MissingConfigException as error:
            raise ConfigError(_no_such_option(error)) from None
        except (HydraException, OmegaConfBaseException, YAMLError) as error:
            raise ConfigError(_first_lines(error)) from None
    OmegaConf.set_struct(config, False)
    return config


@contextmanager
def launcher(
    task: Callable[[DictConfig], Any], hydra: Sequence[str], output_dir: Path, user_folder: str | None
) -> Iterator[Launcher]:
    """The launcher that `hydra/launcher=` chooses among Hydra's plugins, ready to call `task` with the config of each job.

    Args:
        task: a function of a job's composed config.
        hydra: the command's overrides of Hydra's own config.
        output_dir: where the launcher keeps its own files.
        user_folder: of --config-dir.
    """
    with _hydra(user_folder) as search:
        loader = GlobalHydra.instance().config_loader()
        lines = [*search, f"hydra.sweep.dir={output_dir / '.launcher'}", *hydra]
        try:
            config = loader.load_configuration(config_name=CONFIG_NAME, overrides=lines, run_mode=RunMode.MULTIRUN)
            HydraConfig.instance().set_config(config)
            context = HydraContext(config_loader=loader, callbacks=Callbacks(config))
            found = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=task, config=config)
        except MissingConfigException as error:
            raise ConfigError(_no_such_option(error)) from None
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(_first_lines(error)) from None
        yield found


def job_number() -> int:
    """Which job a launcher's task has been called for, from 0."""
    return HydraConfig.get().job.num


@contextmanager
def _hydra(user_folder: str | None) -> Iterator[list[str]]:
    """Hydra ready to compose; the override that makes it look into the user's folder as well."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        yield [f"hydra.searchpath=[file://{Path(user_folder).resolve()}]"] if user_folder else []


def _forced(override: Override, groups: Sequence[str]) -> str:
    """key=value as ++key=value, so that a misspelt key composes and is reported with all other mistakes by `config.load`."""
    line, key = str(override.input_line), override.key_or_group
    is_choice = key.split("/")[0].split("@")[0] in groups and "." not in key
    if is_choice and not isinstance(override.value(), str) and (override.value() is not None or key not in MAY_BE_NONE):
        raise ConfigError(f"{line}: a group takes one option by its name, as in {key}=NAME; `metacl-run --help` lists them")
    return line if override.type != OverrideType.CHANGE or is_choice or key.startswith("hydra") else f"++{line}"


def _no_such_option(error: MissingConfigException) -> str:
    group, _, option = str(error.missing_cfg_file or "").rpartition("/")
    options = list(error.options or [])
    extra = " More come with an extra: pip install 'metacl-run[joblib]', [slurm] or [ray]." if group == "hydra/launcher" else ""
    return f"{group}={option}: there is no such option.{nearest(option, options)} Options: {', '.join(options)}.{extra}"


def _first_lines(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.strip().startswith("object_type=")]
    return "; ".join(lines[:4])

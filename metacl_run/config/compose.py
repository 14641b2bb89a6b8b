"""Uses Hydra to expand a command line into jobs, to compose each job's config, and to start launchers."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import compose, version
from hydra._internal.callbacks import Callbacks
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import MissingConfigException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from metacl_run.config.choices import unknown_algo
from metacl_run.config.components import config_dir
from metacl_run.config.debug import shorten
from metacl_run.config.load import Experiment, load, run_config, value_fault
from metacl_run.config.loggers import chosen_option
from metacl_run.config.option_files import OptionFiles, no_such_option
from metacl_run.config.overrides import COMMAND_NODES, Parts, forced, grid, is_plain_name, is_setting, read
from metacl_run.config.overrides import split as split_overrides
from metacl_run.config.user_folder import make_importable
from metacl_run.core.errors import ConfigError, UserError, shown

CONFIG_NAME = "config"


def split(overrides: Sequence[str], user_folder: str | None = None) -> Parts:
    """Reads overrides and sorts them. Raises ConfigError."""
    with _hydra(user_folder) as loader:
        return split_overrides(overrides, loader)


def expand(overrides: Sequence[str], user_folder: str | None = None, *, multirun: bool) -> list[list[str]]:
    """The overrides of every job of a command: one list, or one for every point of a sweep's grid. Raises ConfigError."""
    return grid(split(overrides, user_folder).run, multirun=multirun)


def experiment_of(overrides: Sequence[str], user_folder: str | None = None) -> Experiment:
    """Composes, builds and checks the experiment of one job.

    Raises:
        UserError: every mistake, in one message.
    """
    return load(*compose_job(overrides, user_folder), overrides, user_folder)


def single_experiment(overrides: Sequence[str], user_folder: str | None = None) -> Experiment:
    """The experiment of a command that starts one run, composed, built and checked.

    Raises:
        UserError: every mistake, in one message; several values of a setting, a table or a search start many runs.
    """
    parts = split(overrides, user_folder)
    if parts.command:
        raise ConfigError(f"{parts.command[0]}: starts many runs, on the command line: metacl-run {parts.command[0]}")
    if parts.hydra:
        raise ConfigError(f"{parts.hydra[0]}: has no effect on a single run; hydra/launcher= goes with metacl-run -m")
    (job,) = grid(parts.run, multirun=False)
    return experiment_of(job, user_folder)


def compose_job(overrides: Sequence[str], user_folder: str | None = None) -> tuple[DictConfig, dict[str, str]]:
    """The composed config of one job, shortened where debug=true, and the option chosen in each group."""
    return _finished(*_parted(_composed(overrides, user_folder)), overrides, user_folder)


class Composer:
    """Composes the experiments of many jobs, as `experiment_of` does. Jobs that choose the same options and differ in settings
    are composed once: reading and merging the options takes nearly all of the time. A setting that many jobs share is read
    once."""

    def __init__(self, user_folder: str | None) -> None:
        self._user_folder = user_folder
        self._groups: list[str] = []
        self._bases: dict[tuple[str, ...], tuple[bytes, dict[str, str]]] = {}
        """What was composed, pickled: to read it back takes a quarter of the time of a copy."""
        self._read: dict[str, Override] = {}

    def experiment_of(self, overrides: Sequence[str]) -> Experiment:
        """As the function of this name."""
        return load(*self._job(overrides), overrides, self._user_folder)

    def _job(self, overrides: Sequence[str]) -> tuple[DictConfig, dict[str, str]]:
        """As `compose_job`."""
        with _hydra(self._user_folder) as loader:
            self._groups = self._groups or [*loader.list_groups(""), *_folders(self._user_folder)]
            chosen: list[str] = []
            settings: list[tuple[str, Any]] = []
            for line in overrides:
                override = self._read[line] = self._read.get(line) or read(line, loader)
                forced(override, self._groups)  # refuses what may not be set
                if is_setting(override, self._groups):
                    settings.append((override.key_or_group, override.value()))
                else:
                    chosen.append(line)
        if any(line.startswith("~") for line in chosen):
            return compose_job(overrides, self._user_folder)  # what is left out may be a setting, and comes in its turn
        key = tuple(chosen)
        if key not in self._bases:
            composed, choices = _parted(_composed(chosen, self._user_folder))
            self._bases[key] = pickle.dumps(composed), choices
        base, choices = self._bases[key]
        config: DictConfig = pickle.loads(base)
        with hydra_errors(self._user_folder, overrides):
            for name, value in settings:
                OmegaConf.update(config, name, value, merge=True, force_add=True)
        return _finished(config, dict(choices), overrides, self._user_folder)


def _parted(config: DictConfig) -> tuple[DictConfig, dict[str, str]]:
    """A composed config without the nodes that are not a run's, and the option chosen in each group."""
    choices = {key: value for key, value in config.hydra.runtime.choices.items() if value is not None}
    with open_dict(config):
        for key in ("hydra", *COMMAND_NODES):
            config.pop(key, None)
    return config, choices


def _finished(
    config: DictConfig, choices: dict[str, str], overrides: Sequence[str], user_folder: str | None
) -> tuple[DictConfig, dict[str, str]]:
    with hydra_errors(user_folder, overrides):  # both read values, which may refer to what is not there
        choices["logger"] = chosen_option(config.get("logger"))
        if config.get("debug") is True:
            shorten(config, OptionFiles(user_folder).kind(choices["protocol"]), overrides)
    return config, choices


def config_text(overrides: Sequence[str], user_folder: str | None, *, package: str | None, resolve: bool) -> str:
    """The config of one job as YAML, checked as far as it can be without data.

    Args:
        package: the part to show, as in "algo"; None: all.
        resolve: whether references are replaced by what they refer to.

    Raises:
        ConfigError: every mistake in the settings, or there is no such part.
    """
    config: Any = run_config(compose_job(overrides, user_folder)[0])
    if package is not None:
        config = OmegaConf.select(config, package)
        if not OmegaConf.is_config(config):
            raise ConfigError(f"--package={shown(package)}: the config has no such part; algo, model, data, protocol are parts")
    with hydra_errors(user_folder):
        return OmegaConf.to_yaml(config, resolve=resolve).rstrip()


def compose_command(overrides: Sequence[str], user_folder: str | None = None) -> dict[str, Any]:
    """The nodes of `COMMAND_NODES`, and under "name" which table was chosen, if one was."""
    config = _composed(overrides, user_folder)
    with hydra_errors():
        nodes = {key: _plain(config[key]) for key in COMMAND_NODES if config.get(key) is not None}
    return {**dict.fromkeys(COMMAND_NODES), **nodes, "name": config.hydra.runtime.choices.get("table")}


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def composable(overrides: Sequence[str], user_folder: str | None) -> list[str]:
    """The overrides in the form in which Hydra composes them, unknown settings included. Raises ConfigError."""
    with _hydra(user_folder) as loader:
        return _lines(overrides, user_folder, loader)


def _lines(overrides: Sequence[str], user_folder: str | None, loader: ConfigLoader) -> list[str]:
    groups = [*loader.list_groups(""), *_folders(user_folder)]
    return [forced(read(line, loader), groups) for line in overrides]


def _composed(overrides: Sequence[str], user_folder: str | None) -> DictConfig:
    with _hydra(user_folder) as loader:
        lines = _lines(overrides, user_folder, loader)
        with hydra_errors(user_folder, overrides):
            config = compose(CONFIG_NAME, overrides=lines, return_hydra_config=True)
    OmegaConf.set_struct(config, False)
    for group, option in config.hydra.runtime.choices.items():
        if option is not None and not group.startswith("hydra") and not is_plain_name(str(option)):
            raise ConfigError(f"{group}={shown(option)}: must be the plain name of an option, without folders or ending")
    return config


def _folders(user_folder: str | None) -> list[str]:
    return [path.name for path in Path(user_folder).iterdir() if path.is_dir()] if user_folder else []


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
    with _hydra(user_folder) as loader:
        if any(re.fullmatch(r"[+~]*hydra/launcher(=null|=)?", line) for line in hydra):
            raise ConfigError("hydra/launcher=null: a sweep needs a launcher; hydra/launcher=basic runs job after job")
        with hydra_errors(user_folder):
            # An override, since launchers compose the config again for every job.
            overrides = [*hydra, f"hydra.sweep.dir={quoted(str(output_dir / '.launcher'))}"]
            config = loader.load_configuration(config_name=CONFIG_NAME, overrides=overrides, run_mode=RunMode.MULTIRUN)
            HydraConfig.instance().set_config(config)
            context = HydraContext(config_loader=loader, callbacks=Callbacks(config))
            chosen = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=task, config=config)
        yield chosen


def quoted(text: str) -> str:
    """A text as the value of an override, whatever letters it has."""
    plain = text.replace("${", r"\${")
    # Hydra's grammar: a backslash counts as itself except before a quote, and those before the closing quote.
    escaped = re.sub(r"(\\*)'", lambda match: match[1] * 2 + r"\'", plain)
    return "'" + re.sub(r"\\+$", lambda match: match[0] * 2, escaped) + "'"


@contextmanager
def _hydra(user_folder: str | None) -> Iterator[ConfigLoader]:
    """Hydra ready to compose, from the shipped options and those of the user's folder."""
    before = GlobalHydra.instance().hydra  # of a program that uses Hydra itself and calls us
    GlobalHydra.instance().clear()
    version.setbase("1.3")
    search_path = create_config_search_path(str(config_dir()))
    if user_folder is not None:
        make_importable(user_folder)
        # As Hydra does it for --config-dir. An override of hydra.searchpath could not have every letter.
        path = f"file://{Path(user_folder).resolve()}"
        search_path.prepend(provider="command-line", path=path, anchor=SearchPathQuery(provider="schema"))
    Hydra.create_main_hydra2(task_name="metacl-run", config_search_path=search_path)
    try:
        yield GlobalHydra.instance().config_loader()
    finally:
        GlobalHydra.instance().clear()
        GlobalHydra.instance().hydra = before


@contextmanager
def hydra_errors(user_folder: str | None = None, overrides: Sequence[str] = ()) -> Iterator[None]:
    """Says in one message of ours what Hydra, OmegaConf or YAML raise about a config. Raises ConfigError."""
    try:
        yield
    except (UserError, BrokenPipeError):
        raise
    except MissingConfigException as error:
        raise ConfigError(_no_such_option(error, user_folder, overrides)) from None
    except RecursionError:
        words = f"{shown(' '.join(overrides))}: " if overrides else ""
        raise ConfigError(f"{words}a defaults list names its own file, or a value its own key") from None
    except Exception as error:  # they raise ValueErrors, KeyErrors and assertions of many kinds as well
        raise ConfigError(_first_lines(error)) from None


def _no_such_option(error: MissingConfigException, user_folder: str | None, overrides: Sequence[str]) -> str:
    group, _, option = str(error.missing_cfg_file or "").rpartition("/")
    if not group:
        return _first_lines(error)
    options = list(error.options or GlobalHydra.instance().config_loader().get_group_options(group))  # none for a list's entry
    extra = " More come with an extra: pip install 'metacl-run[joblib]', [slurm] or [ray]." if group == "hydra/launcher" else ""
    if not extra and user_folder is None:
        extra = " Options of one's own come with --config-dir FOLDER."
    if group == "algo":
        return f"{unknown_algo(option, overrides, OptionFiles(user_folder))}.{extra}"
    return f"{no_such_option(group, option, options)}.{extra}"


def _first_lines(error: Exception) -> str:
    if unknown := re.match(r"Could not override '([^']*)'", str(error)):
        return f"{unknown[1]}: there is no such setting in this config"
    if twice := re.match(r"Multiple values for (\S+)\.|(\S+) appears more than once in the final defaults list", str(error)):
        group = twice[1] or twice[2]
        return f"{group}: has an option already; choose another with {group}=OPTION, once and without +"
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        return value_fault(error)
    lines = [line.strip() for line in str(error).splitlines()]
    messages = [line for line in lines if line and not line.startswith("object_type=") and "hydra.cc" not in line]
    return "; ".join(map(shown, messages[:4])) or type(error).__name__

"""Turns a composed config into a checked `Experiment`: reports every mistake before any work, and gives the run its id.

Knows OmegaConf; Hydra is known to `cli`, `compose`, `overrides` and `sweeps/space.py`.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from metacl_run.config.components import GROUPS, Origin, build, component_class, target_of
from metacl_run.config.loggers import build_loggers
from metacl_run.config.misfits import learner_misfit, own_algo_misfit, stream_misfit, with_article
from metacl_run.config.parent_tuning import tuning_of_parents
from metacl_run.config.run_identity import UNUSED_UNLESS_SET, ignored_by_run_id, run_id
from metacl_run.config.setting_origins import SettingOrigins
from metacl_run.config.starting_run import StartingRun
from metacl_run.config.streams import build_stream, with_stream
from metacl_run.config.top_level import bad_path, top_level_mistakes
from metacl_run.config.unused_settings import unused_settings
from metacl_run.core.bounds import FigureStyle
from metacl_run.core.errors import ConfigError, described, faults, shown
from metacl_run.storage.run_files import EVALUATIONS


class TrainedRun(NamedTuple):
    """A run whose learner is evaluated again."""

    directory: Path
    run_id: str
    outputs: int | None = None
    """`Protocol.count_outputs_of_run` of it."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A config that has passed every check that needs no data, and the components that it names."""

    algo: Any
    model: Any
    data: Any
    """The stream, on its source."""
    protocol: Any
    gpu: Any
    logger: dict[str, Any]
    """The loggers by name."""
    seeds: list[int]
    insight: Literal["none", "light", "full"]
    output_dir: Path
    rerun: bool
    debug: bool
    """Whether the run was shortened by debug=true."""
    progress: Literal["auto", "rich", "plain", "none"]
    tags: list[str]
    """Words of the user's own."""
    figures_style: FigureStyle
    choices: dict[str, str]
    """The option chosen in each group: {"algo": "maml", ...}."""
    overrides: list[str]
    """The overrides of the command line."""
    user_folder: str | None
    """Of --config-dir."""
    resolved: dict[str, Any]
    """The config as config.yaml has it."""
    run_id: str
    ignored_by_run_id: list[str]
    """Full keys of the settings that do not enter the run id."""
    trained: TrainedRun | None = None
    """The run whose learner is evaluated; None: this run learns."""
    starting_run: StartingRun | None = None
    """The run whose parameters this one starts with; None: they are drawn."""

    @property
    def starting_model(self) -> Any:
        """The model, with the parameters that learners start from."""
        return self.model if self.starting_run is None else self.starting_run.model(self.model)

    @property
    def warnings(self) -> list[str]:
        """What a reader of the results must know, and what can be known before the run."""
        parts = {"algo": self.algo, "model": self.model, "data": self.data, "protocol": self.protocol}
        data = self.resolved["data"], self.protocol, self.data.source.origins
        warning = self.starting_run and self.starting_run.warning(*data, test_origin=self.data.test_origin)
        unused = unused_settings(parts, self.overrides, self.choices["algo"])
        return [*([warning] if warning else []), *unused, *self._tuning_of_parents()]

    def _tuning_of_parents(self) -> list[str]:
        if self.trained is not None:  # its command does not have what was typed for the run
            return []
        return tuning_of_parents(self.choices, self.overrides, self.resolved, self.user_folder)

    @property
    def components(self) -> list[object]:
        """What the run is computed with; the user's own ones have code that the run keeps."""
        return [self.algo, self.model, self.data, self.data.source, self.protocol]

    @property
    def directory(self) -> Path:
        if self.trained is not None:
            return self.trained.directory / EVALUATIONS / self.run_id
        return self.output_dir / self.choices["data"] / self.choices["algo"] / self.run_id

    @property
    def command(self) -> str:
        """The command that computes it, to be pasted into a shell."""
        words = [] if self.trained is None else [f"evaluate={self.trained.directory}"]
        return command_line([*words, *self.overrides], self.user_folder)

    def to_yaml(self) -> str:
        return OmegaConf.to_yaml(OmegaConf.create(self.resolved))


def load(
    config: DictConfig, choices: Mapping[str, str], overrides: Sequence[str] = (), user_folder: str | None = None
) -> Experiment:
    """Builds and checks everything that a config names, without loading data.

    Args:
        config: composed, without the nodes of the command.
        choices: the option chosen in each group.
        overrides, user_folder: the command line that it was composed from.

    Raises:
        ConfigError: the full key, its value, what is allowed and the nearest name; all mistakes of one config together.
        DataError: files that the data component needs are not there.
    """
    resolved = _resolved(config)
    resolved = {"debug": False, "start_from": None, **resolved}  # older runs have no such keys
    if type(resolved.get("seeds")) is int:
        resolved["seeds"] = [resolved["seeds"]]
    if isinstance(resolved.get("tags"), str):
        resolved["tags"] = [resolved["tags"]]
    kind = _kind(resolved)
    sections = _sections(resolved)
    if isinstance(algo := resolved.get("algo"), Mapping) and (own := own_algo_misfit(algo.get("_target_"), choices, overrides)):
        raise ConfigError(own)
    if kind is not None:
        resolved["data"] = with_stream(resolved.get("data"), kind)
        if kind not in sections and sections:
            raise ConfigError(stream_misfit(kind, resolved["data"], sections, choices, overrides))
    parts, mistakes = _parts(resolved, kind, sections, SettingOrigins(choices, overrides, user_folder).words)
    mistakes += top_level_mistakes(resolved)
    mistakes += [message for key in ("output_dir", "start_from") for message in bad_path(key, resolved.get(key))]
    if isinstance(data := resolved.get("data"), Mapping):
        mistakes += bad_path("data.root", data.get("root"))
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    _check_fit(parts, choices)
    _check_insight(resolved["insight"], parts["protocol"], choices)
    start = _starting_run(resolved, parts, choices)
    if start is not None:
        resolved["start_from"] = str(start.directory)
    ignored = [*ignored_by_run_id(parts), *(key for key in UNUSED_UNLESS_SET if not resolved[key])]
    return Experiment(
        **parts,
        seeds=resolved["seeds"],
        insight=resolved["insight"],
        output_dir=Path(resolved["output_dir"]).expanduser().absolute(),
        rerun=resolved["rerun"],
        debug=resolved["debug"],
        progress=resolved["progress"],
        tags=resolved["tags"],
        figures_style=resolved["figures"]["style"],
        choices={group: choices.get(group, "custom") for group in GROUPS},
        overrides=list(overrides),
        user_folder=user_folder,
        resolved=resolved,
        run_id=run_id({**resolved, "start_from": start and start.run_id}, ignored, parts["data"].source.fingerprint),
        ignored_by_run_id=ignored,
        starting_run=start,
    )


def run_config(config: DictConfig) -> DictConfig:
    """A composed config as a run has it: with the one stream that its protocol uses.

    Raises:
        ConfigError: every unknown, missing or wrong setting.
    """
    resolved = _resolved(config)
    kind, sections = _kind(resolved), _sections(resolved)
    if kind is not None:
        resolved["data"] = with_stream(resolved.get("data"), kind)
        config["data"] = with_stream(OmegaConf.to_container(config.data), kind)
    _, mistakes = _parts(resolved, kind, sections)
    if mistakes := mistakes + top_level_mistakes(resolved):
        raise ConfigError("\n".join(mistakes))
    return config


def command_line(overrides: Sequence[str], user_folder: str | None) -> str:
    """The command of a run, to be pasted into a shell."""
    folder = [] if user_folder is None else ["--config-dir", str(Path(user_folder).resolve())]
    return shlex.join(["metacl-run", *folder, *overrides])


# ------------------------------------------------------------------------------------------------------ reading the nodes


def value_fault(error: OmegaConfBaseException) -> str:
    """The message for a value that cannot be read: its full key, and why."""
    where = f"{error.full_key}: " if error.full_key else ""
    return f"{where}{shown(str(error).splitlines()[0])}"


def _resolved(config: DictConfig) -> dict[str, Any]:
    try:
        return cast("dict[str, Any]", OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
    except OmegaConfBaseException as error:
        raise ConfigError(value_fault(error)) from None
    except RecursionError:
        raise ConfigError("a value of the config refers to itself, or is nested too deep") from None


def _kind(resolved: Mapping[str, Any]) -> str | None:
    """The kind of the protocol; None where its class cannot be imported, which `build` reports."""
    try:
        return str(component_class(target_of(resolved.get("protocol"), "protocol"), "protocol").kind)  # type: ignore[attr-defined]
    except (ConfigError, AttributeError):
        return None


def _sections(resolved: Mapping[str, Any]) -> Mapping[str, Any]:
    """The section `streams` of the node `data`; empty where it has none."""
    data = resolved.get("data")
    sections = data.get("streams") if isinstance(data, Mapping) else None
    return sections if isinstance(sections, Mapping) else {}


def _parts(
    resolved: Mapping[str, Any], kind: str | None, sections: Mapping[str, Any], origin: Origin | None = None
) -> tuple[dict[str, Any], list[str]]:
    """The components by group, and the mistakes of those that cannot be built; `origin` as in `components.build`."""
    parts: dict[str, Any] = {}
    mistakes: list[str] = []
    for group in GROUPS:
        try:
            if group == "logger":
                parts[group] = build_loggers(resolved.get(group))
            elif group != "data":
                parts[group] = build(resolved.get(group), group, origin)
            elif kind is not None:
                parts[group] = build_stream(resolved.get(group), kind, elsewhere=sections, origin=origin)
        except ConfigError as error:
            mistakes.append(str(error))
    return parts, mistakes


# ----------------------------------------------------------------------------------------------------- across components


def _check_fit(parts: Mapping[str, Any], choices: Mapping[str, str]) -> None:
    """Refuses an algorithm that the protocol cannot run, then lets the protocol check the numbers."""
    protocol, algo, data = parts["protocol"], parts["algo"], parts["data"]
    if not isinstance(algo, protocol.learner):
        raise ConfigError(learner_misfit(type(algo), protocol.learner, choices))
    if not isinstance(data, protocol.data):
        raise ConfigError(
            f"data.streams.{protocol.kind}._target_: {type(data).__name__} is not {with_article(protocol.data.__name__)}, "
            f"which protocol={choices.get('protocol', 'custom')} needs"
        )
    words = " ".join(f"{group}={choices.get(group, 'custom')}" for group in ("protocol", "algo", "model", "data"))
    with faults(f"{words}: checking them failed"):
        try:
            protocol.check(algo, parts["model"], data)
        except OSError as error:
            root = getattr(data.source, "root", None)
            where = f"data={choices.get('data', 'custom')}" if root is None else f"data.root={shown(root)}"
            named = f"{shown(str(error.filename))}: " if error.filename else ""
            raise ConfigError(f"{where}: cannot be read: {named}{error.strerror or described(error)}") from None


def _check_insight(insight: str, protocol: Any, choices: Mapping[str, str]) -> None:
    if insight != "none" and not protocol.looks_inside:
        always = "whose report always shows the representation"
        raise ConfigError(f"insight={insight}: has no effect under protocol={choices.get('protocol')}, {always}")


def _starting_run(resolved: Mapping[str, Any], parts: Mapping[str, Any], choices: Mapping[str, str]) -> StartingRun | None:
    """The run that this one starts from, if any; refuses one whose network is another."""
    if resolved["start_from"] is None:
        return None
    start = StartingRun.read(Path(resolved["start_from"]).expanduser().absolute(), resolved["seeds"])
    _check_fit({**parts, "model": start.model(parts["model"])}, choices)
    return start

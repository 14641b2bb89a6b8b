"""Composes the evaluation of a run that has ended: its config, with some settings changed.

Settings that decide what was learned, or which examples were held out, stay those of the run. Those marked with
`bounds.AT_EVALUATION` may change, and so may where and how it is computed. Other data may take the place of the run's where it
is certain that nothing was learned from them.
"""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from metacl_run.config.components import setting_types
from metacl_run.config.compose import compose_job, split
from metacl_run.config.load import Experiment, TrainedRun, load
from metacl_run.config.overrides import grid
from metacl_run.config.run_identity import IGNORED_BY_RUN_ID, RUN_ID_LENGTH, without_effect
from metacl_run.config.streams import with_stream
from metacl_run.core.bounds import AtEvaluation
from metacl_run.core.digest import hex_digest
from metacl_run.core.errors import ConfigError, nearest, prefix_field_errors, shown

CHOICES = ("data", "gpu", "logger")
"""Groups of which an evaluation may choose another option."""
ROOT = "data.root"
"""Where the data lie. They may have been moved since the run; that they are the same is checked by what they hold."""
MARKED = ("algo", "data", "protocol")
"""Groups with settings that carry the mark."""
FREE = ("gpu", *(key for key in IGNORED_BY_RUN_ID if key != "output_dir"))
"""Groups and settings outside the groups that change no result, or only how it is computed."""


def compose_evaluation(
    trained: TrainedRun,
    resolved: Mapping[str, Any],
    choices: Mapping[str, str],
    overrides: Sequence[str],
    user_folder: str | None = None,
) -> Experiment:
    """Composes, builds and checks the evaluation of a run.

    Args:
        trained: the run.
        resolved: its config.
        choices: the option of each group that it chose.
        overrides: the settings to change.
        user_folder: of --config-dir.

    Raises:
        ConfigError: a setting that an evaluation cannot change, or a mistake in one.
    """
    parts = split(overrides, user_folder)
    if refused := [*parts.hydra, *parts.command]:
        raise ConfigError(f"{refused[0]}: has no effect on the evaluation of a run")
    grid(parts.run, multirun=False)
    values = {override.key_or_group: override.value() for override in parts.run}
    options = {key: str(value) for key, value in values.items() if key in CHOICES}
    nodes = {group: _composed(group, option, choices["algo"], user_folder) for group, option in options.items()}
    settings = {key: value for key, value in values.items() if key not in options}
    computed_here = {key: value for key, value in settings.items() if key.startswith("gpu.")}
    if "data" not in options and ROOT in settings:
        computed_here[ROOT] = settings[ROOT]  # where the run's data lie now
    resolved = {**resolved, "start_from": None}  # what it started from has no part in what it ended with
    run = load(_changed({**resolved, "gpu": nodes.get("gpu", resolved.get("gpu"))}, computed_here), choices)
    _refuse_what_was_learned(run, list(settings), has_other_data="data" in options)
    if "data" in nodes:
        nodes["data"] = with_stream(_in_folder_of(run, nodes["data"]), run.protocol.kind)
    config = _changed({**resolved, **nodes}, settings)
    evaluation = load(config, {**choices, **options}, overrides, user_folder)
    if "data" in options:
        _refuse_data_learned_from(run, evaluation)
    with prefix_field_errors("protocol"):
        evaluation.protocol.check_evaluation(run.protocol)
    with prefix_field_errors("algo"):
        evaluation.algo.check_evaluation(run.algo)
    trained = trained._replace(outputs=run.protocol.count_outputs_of_run(run.data))
    return _of(trained, evaluation, overrides, user_folder)


def evaluation_settings(experiment: Experiment) -> list[str]:
    """Full keys of the settings of a run's components that an evaluation of the run may change."""
    return [
        f"{group}.{name}"
        for group in MARKED
        for name, hint in setting_types(type(getattr(experiment, group)), group).items()
        if any(isinstance(mark, AtEvaluation) for mark in getattr(hint, "__metadata__", ()))
    ]


def flat_keys(experiment: Experiment) -> list[str]:
    """Full keys of all settings of a run's components."""
    return [
        f"{group}.{name}" for group in (*MARKED, "model") for name in setting_types(type(getattr(experiment, group)), group)
    ]


def _of(trained: TrainedRun, experiment: Experiment, overrides: Sequence[str], user_folder: str | None) -> Experiment:
    """The experiment as an evaluation, with an id that follows from the run's and its own."""
    digest = hex_digest(f"{trained.run_id} {experiment.run_id}", RUN_ID_LENGTH)
    return dataclasses.replace(experiment, run_id=digest, trained=trained, overrides=list(overrides), user_folder=user_folder)


def _refuse_what_was_learned(run: Experiment, keys: Sequence[str], *, has_other_data: bool) -> None:
    known = evaluation_settings(run)
    all_keys = [*flat_keys(run), *(f"data.{name}" for name in setting_types(type(run.data.source), "data"))]
    free = [*known, *without_effect({group: getattr(run, group) for group in MARKED})]
    messages = []
    for key in keys:
        group = key.partition(".")[0]
        if key in free or key == ROOT or group in FREE or (group == "data" and has_other_data):
            continue
        if "." not in key and group not in FREE:
            allowed = f"an evaluation can choose another option of {', '.join(CHOICES)} alone"
        elif key not in all_keys:
            messages.append(f"{key}: there is no such setting.{nearest(key, all_keys)}")
            continue
        else:
            allowed = f"an evaluation can change {', '.join(known)}.{nearest(key, known)}"
        messages.append(f"{key}: was fixed when the run learned; {allowed}")
    if messages:
        raise ConfigError("\n".join(messages))


def _refuse_data_learned_from(run: Experiment, evaluation: Experiment) -> None:
    """Refuses another option of `data` from which the run may have learned."""
    shared = run.data.source.origins & evaluation.data.source.origins
    if shared and (run.data.test_origin is None or run.data.test_origin != evaluation.data.test_origin):
        raise ConfigError(
            f"data={evaluation.choices['data']}: has examples of {', '.join(sorted(shared))}, as data={run.choices['data']} "
            "has, from which the run has learned in other tasks and splits: an evaluation would mix what was learned with what "
            "was held out. Choose data of another source, or leave it out"
        )
    own, other = run.data.output_settings, evaluation.data.output_settings
    differing = [f"data.{name}" for name in {**own, **other} if own.get(name) != other.get(name)]
    if shared and differing:
        raise ConfigError(
            f"data={evaluation.choices['data']}: must have the classes of the run in its order, since each output stands for "
            f"one of them; these settings are others: {', '.join(differing)}"
        )
    if tuple(run.data.input_shape) != tuple(evaluation.data.input_shape):
        raise ConfigError(
            f"data={evaluation.choices['data']}: its examples have the shape {list(evaluation.data.input_shape)}, but the run "
            f"has learned from {list(run.data.input_shape)}"
        )


def _in_folder_of(run: Experiment, node: Any) -> Any:
    """The node of other data, in the folder that holds the run's where nothing says another."""
    is_usual = isinstance(node, Mapping) and node.get("root") == os.environ.get("METACL_DATA", "./data")
    return {**node, "root": run.data.source.root} if is_usual and "data.root" in run.ignored_by_run_id else node


def _composed(group: str, option: str, algo: str, user_folder: str | None) -> Any:
    """The node of another option of a group, as it is with the run's algorithm."""
    config, _ = compose_job([f"algo={algo}", f"{group}={option}"], user_folder)
    return OmegaConf.to_container(config[group])


def _changed(resolved: Mapping[str, Any], settings: Mapping[str, Any]) -> DictConfig:
    """A config with other values of some settings, by their full keys."""
    config = copy.deepcopy(dict(resolved))
    for key, value in settings.items():
        *groups, name = key.split(".")
        node = config
        for group in groups:
            node = node.setdefault(group, {})
            if not isinstance(node, dict):
                raise ConfigError(f"{key}={shown(value)}: there is no such setting")
        node[name] = value
    return OmegaConf.create(config)

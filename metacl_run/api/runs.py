"""Starting, loading, evaluating and comparing runs from Python."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from metacl_run.api.run_result import RunResult
from metacl_run.core.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from metacl_run.api.compared_runs import ComparedRuns
    from metacl_run.config.load import Experiment

StrPath: TypeAlias = "str | os.PathLike[str]"


def run(overrides: Sequence[str] = (), *, config_dir: StrPath | None = None) -> RunResult:
    """Runs one experiment, as `metacl-run` with the same arguments does: a finished run is loaded, an interrupted one is
    continued.

        metacl_run.run(["algo=maml", "data=split_omniglot", "seeds=[0,1,2]"])

    Args:
        overrides: settings as on the command line, one per string.
        config_dir: a folder with your own options; its YAML file algo/mine.yaml is algo=mine.

    Returns:
        The run, completed or diverged (`RunResult.status`).

    Raises:
        UserError: every mistake in the settings, or data that are missing, in one message.
        KeyboardInterrupt: the run was interrupted; the same call continues it.
    """
    from metacl_run.config.compose import single_experiment

    _check_words(overrides)
    user_folder = None if config_dir is None else os.fspath(config_dir)
    return _compute(single_experiment(list(overrides), _folder(user_folder)))


def evaluate(directory: StrPath | RunResult, overrides: Sequence[str] = ()) -> RunResult:
    """Evaluates with other settings what a completed run has learned, without training.

        metacl_run.evaluate(result, ["data.shots=5", "protocol.eval_episodes=2000"])

    Args:
        directory: of the run, or its result.
        overrides: settings to change: shots, episodes, rates, data of the same shape; the error for any other names them.

    Returns:
        The evaluation, stored next to the run in `evaluations/`. The same call loads it again.

    Raises:
        UserError: the run has not completed, or a setting cannot be changed.
    """
    from metacl_run.trained_run import evaluation_of

    _check_words(overrides)
    return _compute(evaluation_of(_path(directory), list(overrides)))


def load(directory: StrPath) -> RunResult:
    """Loads a run that has ended, whether it completed or not.

    Raises:
        UserError: it is no run directory, the run has not ended, or another version wrote its summary.
    """
    from metacl_run.storage.find_runs import check_is_run

    path = _path(directory)
    if not path.is_dir():
        raise StorageError(f"{path}: there is no such folder")
    check_is_run(path)
    result = RunResult(path)
    result.summary  # noqa: B018 - read here, so that what is wrong is said at once
    return result


def find(*folders: StrPath) -> list[RunResult]:
    """Loads every run that has ended in some folders and below them, in the order of their paths.

    Raises:
        UserError: one of them is no folder.
    """
    from metacl_run.storage.find_runs import find_runs

    results = []
    for directory in find_runs(Path(folder) for folder in folders).runs:
        try:
            results.append(load(directory))
        except StorageError:  # it has not ended, or another program wrote it
            continue
    return results


def compare(
    runs: StrPath | RunResult | Iterable[StrPath | RunResult],
    metrics: Sequence[str] = (),
    by: Sequence[str] = (),
    against: str | None = None,
) -> ComparedRuns:
    """Compares runs, as `metacl-report` does: a table for each data set, intervals over seeds, paired differences.

    Args:
        runs: results, run directories, or folders of runs; one or several.
        metrics: names, as in summary.json; none: the score, its learning_ form, forgetting and bwt.
        by: settings, such as "data.shots", whose values get separate tables.
        against: an algorithm or a row, whose differences from every other row are tested, and no others; None: all pairs.

    Raises:
        UserError: there are no runs that can be compared, no such metric, setting or row.
    """
    from metacl_run.api.compared_runs import ComparedRuns
    from metacl_run.comparison.compare import compare as compare_folders

    if isinstance(runs, (str, os.PathLike, RunResult)):
        runs = [runs]
    runs = list(runs)
    if not runs:
        raise ConfigError("compare: takes runs or folders of runs, and the list is empty")
    return ComparedRuns(compare_folders([_path(entry) for entry in runs], metrics, by, against))


def _compute(experiment: Experiment) -> RunResult:
    from metacl_run import experiment as wiring
    from metacl_run.core.exit_status import INTERRUPTED
    from metacl_run.core.output import any_letter_printed
    from metacl_run.runtime.torch_switches import torch_switches_kept

    with torch_switches_kept(), any_letter_printed():
        status = wiring.run(experiment)
    if status == INTERRUPTED:
        raise KeyboardInterrupt(f"{experiment.directory}: the run was interrupted; the same call goes on")
    return load(experiment.directory)


def _check_words(overrides: Sequence[str]) -> None:
    if isinstance(overrides, str) or not all(isinstance(word, str) for word in overrides):
        raise ConfigError(f'overrides={overrides!r}: must be a list of texts, as in ["algo=maml", "data.shots=5"]')


def _folder(user_folder: str | None) -> str | None:
    from metacl_run.config.user_folder import check_folder

    check_folder(user_folder)
    return user_folder


def _path(run_or_path: StrPath | RunResult) -> Path:
    return run_or_path.directory if isinstance(run_or_path, RunResult) else Path(run_or_path).expanduser()

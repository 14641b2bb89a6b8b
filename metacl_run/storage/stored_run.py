"""The reader of run directories: the only source of the report, the figures, the comparison and the paper tables.

Shapes: R replicates, T tasks, P evaluations, N training records. A run that was killed, diverged or never began has fewer rows
or none, and is read all the same. Loads no torch.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from metacl_run.core.errors import OtherVersionError, StorageError
from metacl_run.core.files import regular_file
from metacl_run.core.task_lengths import TaskLengths
from metacl_run.scoring.intervals import Bounds
from metacl_run.scoring.scores import SCORES, Score
from metacl_run.storage import insight_records, older_runs, prediction_file, rollout_file, sequence_records, stream_file
from metacl_run.storage.records import read_records
from metacl_run.storage.run_files import CONFIG, MATRIX, METRICS, PREDICTIONS, ROLLOUTS, SCHEMA, STREAM, SUMMARY

ENDED = ("completed", "diverged")
"""The statuses of a run that has nothing left to compute."""


class Evaluations(NamedTuple):
    """The scores at every evaluation."""

    units: np.ndarray
    """[P], increasing."""
    tasks_seen: np.ndarray
    """[P] tasks learned, or being learned; 0 before any learning."""
    scores: np.ndarray
    """[R, P, T], NaN where a task was not evaluated."""
    probe_scores: np.ndarray
    """[R, P, T] on the samples that probes use, which may be fewer: comparable from one evaluation to the next."""


class Training(NamedTuple):
    """The training records."""

    units: np.ndarray
    """[N], increasing."""
    curves: dict[str, np.ndarray]
    """[R, N] by name ("loss" and the score's); NaN where not finite or not recorded."""


class StoredRun:
    """One run directory. Each file is read once, when it is first needed.

    Everything here raises a StorageError that names the file which is missing or broken.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    # ----------------------------------------------------------------------------------------------------------- the files

    @cached_property
    def _written(self) -> dict[str, Any]:
        """summary.json as it was written."""
        path = self.directory / SUMMARY
        if not os.path.exists(path):
            raise StorageError(f"{self.directory}: holds no {SUMMARY}: the run has not ended")
        try:
            summary = json.loads(path.read_bytes() if path.is_file() else b"")  # reading a named pipe would never end
        except (OSError, ValueError, RecursionError):
            raise StorageError(f"{path}: is truncated or no summary. Give the run's command again to compute it anew") from None
        if not isinstance(summary, dict) or summary.get("schema") != SCHEMA or "status" not in summary:
            schema = summary.get("schema") if isinstance(summary, dict) else None
            raise OtherVersionError(
                f"{path}: was written by another version (schema {schema}; this one reads {SCHEMA}). Remove the directory to "
                "compute the run here, or choose another output_dir"
            )
        return summary

    @cached_property
    def summary(self) -> dict[str, Any]:
        """summary.json, with the keys that it lacks if an older version wrote it or the run failed early."""
        return older_runs.completed(self._written, self.config)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The resolved config. Version 0.1 has it in config.yaml only, which takes a thousand times as long to read."""
        path, config = self.directory / SUMMARY, self._written.get("config")
        if config is None:
            path = self.directory / CONFIG
            try:
                regular_file(path)
                config = yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
            except (OSError, ValueError, yaml.YAMLError):
                raise StorageError(f"{path}: is missing or cannot be read, and {SUMMARY} does not hold the config") from None
        if not isinstance(config, dict):
            raise StorageError(f"{path}: is truncated or holds no config")
        return config

    @property
    def settings(self) -> dict[str, Any]:
        """The config by full keys, {"algo.inner_lr": .4, "insight": "none", ...}, without what the run id ignores."""
        ignored = set(self.summary["without_effect"])
        effective = {key: value for key, value in self.config.items() if key not in ignored}
        return {key: value for key, value in flat(effective).items() if key not in ignored}

    @cached_property
    def matrix(self) -> np.ndarray:
        """The accuracy matrix [R, T + 1, T], NaN where not reached; row 0 is before any learning."""
        path = self.directory / MATRIX
        shape = len(self.seeds), self.num_tasks + 1, self.num_tasks
        if not self.num_tasks or not path.exists():
            return np.full(shape, np.nan)
        try:
            regular_file(path)
            matrix = np.asarray(np.load(path, allow_pickle=False), dtype=float)
        except (OSError, ValueError, EOFError) as error:
            raise StorageError(f"{path}: cannot be read ({error})") from None
        if matrix.shape != shape:
            raise StorageError(
                f"{path}: has the shape {list(matrix.shape)}, but the run has {shape[0]} seeds and {shape[2]} tasks"
            )
        return matrix

    @cached_property
    def _records(self) -> list[dict[str, Any]]:
        """All records, with the scores of evaluations as arrays, which take less memory than lists."""
        return [_with_arrays(record) for record in read_records(self.directory / METRICS)]

    @cached_property
    def evaluations(self) -> Evaluations:
        """The "eval" records. If a unit was recorded twice, the last record counts."""
        by_unit = {record["unit"]: record for record in self._records if record["kind"] == "eval" and self.num_tasks}
        units = sorted(by_unit)
        seen = np.zeros(len(units), dtype=int)
        scores, probes = np.full((2, len(self.seeds), len(units), self.num_tasks), np.nan)
        for place, unit in enumerate(units):
            record = by_unit[unit]
            seen[place] = record["task"] + 1 if record["row"] is None else record["row"]
            tasks = record["tasks"].astype(int) if "tasks" in record else slice(None)
            scores[:, place, tasks] = record[self.score.score_name]
            probes[:, place, tasks] = record.get("probe", record[self.score.score_name])
        return Evaluations(np.array(units, dtype=int), seen, scores, probes)

    @cached_property
    def training(self) -> Training:
        """The "train" records."""
        by_unit = {record["unit"]: record["metrics"] for record in self._records if record["kind"] == "train"}
        units = sorted(by_unit)
        missing = [math.nan] * len(self.seeds)
        names = dict.fromkeys(name for unit in units for name in by_unit[unit])  # in the order of their first appearance
        curves = {name: np.array([by_unit[unit].get(name, missing) for unit in units], dtype=float).T for name in names}
        return Training(np.array(units, dtype=int), curves)

    @cached_property
    def insight(self) -> insight_records.Insight:
        return insight_records.read(self._records)

    @cached_property
    def predictions(self) -> prediction_file.Predictions | None:
        """What was confused and forgotten; None where it was not recorded, or the run did not get that far."""
        return prediction_file.read(self.directory / PREDICTIONS)

    @cached_property
    def rollouts(self) -> rollout_file.Rollouts | None:
        """Paths of some episodes; None where none were recorded, or the run did not get that far."""
        return rollout_file.read(self.directory / ROLLOUTS)

    @cached_property
    def sequences(self) -> sequence_records.SequenceResults | None:
        """Probes and meta-test of `meta_continual`; None under other protocols."""
        return sequence_records.read(self._records, self.summary) if self.kind == "meta_continual" else None

    @property
    def pretraining(self) -> int:
        """The unit at which a stream under `osaka` begins; 0 for all other runs."""
        return int(self.summary.get("pretraining") or 0) if self.kind == "osaka" else 0

    @property
    def scores_so_far(self) -> np.ndarray:
        """[R, P] the mean score over all steps so far of a stream under `osaka`, at every evaluation."""
        by_unit = {record["unit"]: record["so_far"] for record in self._records if record["kind"] == "eval"}
        rows = np.array([by_unit[unit] for unit in sorted(by_unit)], dtype=float)
        return np.asarray(rows.reshape(-1, len(self.seeds)).T)

    @cached_property
    def stream_steps(self) -> stream_file.StreamSteps | None:
        """The steps of a stream under `osaka`; None under other protocols, or if the run did not get to its end."""
        return stream_file.read(self.directory / STREAM) if self.kind == "osaka" else None

    @property
    def meta_test(self) -> sequence_records.MetaTestScores | None:
        """The meta-test of `meta_continual`; None under other protocols, or if the run did not get that far."""
        return None if self.sequences is None else self.sequences.meta_test

    # ------------------------------------------------------------------------------------------------------ what they say

    @property
    def status(self) -> str:
        return str(self._written["status"])

    @property
    def error(self) -> str | None:
        """Why the run failed or diverged."""
        return self._written.get("error")

    @property
    def has_ended(self) -> bool:
        """Whether nothing is left to compute."""
        return self.status in ENDED

    @property
    def is_last_row_alone(self) -> bool:
        """Whether this is the evaluation of a learner that had finished, so that only the last row of the matrix is filled."""
        return self.summary["evaluation_of"] is not None and self.learns_task_by_task

    @property
    def kind(self) -> str:
        """The kind of protocol, whatever the option is called."""
        return str(self.summary["protocol_kind"])

    @property
    def learns_task_by_task(self) -> bool:
        """Whether tasks were learned one after another, each to its end, and evaluated between; else the columns of the matrix
        are segments of a sequence (`meta_continual`) or domains of a stream (`osaka`)."""
        return self.kind not in ("meta_continual", "osaka")

    @property
    def seeds(self) -> list[int]:
        return list(self.summary["seeds"])

    @property
    def num_tasks(self) -> int:
        """0 for a run that failed before its tasks were known."""
        names = self.summary["task_names"]
        return len(names[0]) if names else 0

    @property
    def num_training_parts(self) -> int:
        """Parts of the training curve: one for each task that is learned to its end, else one."""
        return self.num_tasks if self.learns_task_by_task else 1

    @property
    def units_per_task(self) -> int:
        """Units of a task, of the longest where they differ."""
        return int(self.summary["units_per_task"])

    @property
    def units(self) -> TaskLengths:
        """Units of each part of the training curve."""
        lengths = self.summary["task_units"]
        return TaskLengths.equal(self.num_training_parts, self.units_per_task) if lengths is None else TaskLengths.of(lengths)

    @property
    def unit_name(self) -> str:
        return str(self.summary["unit_name"])

    @property
    def score(self) -> Score:
        """The kind of score that the run was evaluated with."""
        return SCORES[self.summary["score"]]

    @property
    def possible(self) -> Bounds:
        """The least and the largest value of a score."""
        return self.score.least, self.score.largest

    @property
    def chance(self) -> float | None:
        """The accuracy of a guess; None where it is not one number."""
        chance = self.summary["chance"]
        return None if chance is None else float(chance)

    @property
    def eval_split(self) -> str:
        """The split that scores were measured on, "test" or "validation"."""
        return str(self.summary["eval_split"])

    @property
    def evaluation_error(self) -> float | None:
        """95% half-width of one seed's score at the last evaluation, over the episodes or samples; mean over seeds. None where
        it is 0, since all were right or all wrong: that says nothing of others."""
        half = np.array(self.summary["evaluation_half_width"], dtype=float)
        if not half.size or not np.isfinite(half).any(axis=1).all():
            return None
        return float((np.sqrt(np.nansum(half**2, 1)) / np.isfinite(half).sum(1)).mean()) or None

    @property
    def probe_units(self) -> np.ndarray:
        """Units of the evaluations within a task."""
        units, ends = self.evaluations.units, self.units.ends
        if not self.learns_task_by_task:
            return units[:0]
        return units[~np.isin(units, [0, *ends]) & (units < self.units.total)]  # an evaluated run has units beyond its own

    @property
    def probe_samples(self) -> int | None:
        """Samples of a task in an evaluation within a task; None: as many as in any other, or there are no such evaluations."""
        protocol = self.config.get("protocol")
        return protocol.get("probe_samples") if isinstance(protocol, dict) and len(self.probe_units) else None

    @property
    def rows_reached(self) -> int:
        """Rows of the matrix, from the first, that every replicate reached; `whole_rows` are those without gaps."""
        reached = np.isfinite(self.matrix).any(axis=2).all(axis=0)
        return int(np.argmin(reached)) if not reached.all() else len(reached)

    @property
    def whole_rows(self) -> list[int]:
        """Rows in which every task learned by then was evaluated; in row 0, all tasks."""
        finite = np.isfinite(self.matrix[:, : self.rows_reached]).all(axis=0)
        return [row for row, tasks in enumerate(finite) if tasks[: row or None].all()]

    @property
    def future_is_evaluated(self) -> bool:
        """Whether all tasks to come were evaluated as well."""
        return bool(np.isfinite(self.matrix[:, self.whole_rows]).all())


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns the leaves of nested settings by full keys: {"algo": {"inner_lr": .4}} -> {"algo.inner_lr": .4}."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            leaves.update(flat(value, f"{prefix}{key}."))
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


def _with_arrays(record: dict[str, Any]) -> dict[str, Any]:
    if record["kind"] != "eval":
        return record
    return {key: np.array(value, dtype=float) if isinstance(value, list) else value for key, value in record.items()}

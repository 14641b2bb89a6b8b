"""Reads a run directory into plain arrays: the only source of the figures, the report and the table at the end.

Shapes: R replicates, T tasks, P evaluations, N training records. A run that was killed, diverged or never began leaves
fewer rows or none; everything here still loads.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from metacl_run.core.errors import StorageError
from metacl_run.core.files import regular_file
from metacl_run.core.protocol_kind import kind_of
from metacl_run.scoring.intervals import Bounds
from metacl_run.scoring.metric_table import TRANSDUCTIVE
from metacl_run.scoring.scores import SCORES, Score
from metacl_run.storage import sequence_records
from metacl_run.storage.insight_records import Insight, read
from metacl_run.storage.marks import ON_VALIDATION, TRANSDUCTIVE_MARK, TUNED_ON, chance_level, was_transductive
from metacl_run.storage.sequence_records import Sequences

UNKNOWN: dict[str, Any] = {
    "score": "accuracy",
    "error": None,
    "warnings": [],
    "timing": {},
    "peak_memory_mb": None,
    "environment": {},
    "task_names": [],
    "units_per_task": 0,
    "unit_name": "unit",
    "command": None,
    "evaluation_half_width": [],
    "meta_test": None,
    "forward_transfer": True,
}
"""What a run that failed before its first unit does not say in its summary, and what older runs do not."""


class Run(NamedTuple):
    directory: Path
    config: dict[str, Any]
    summary: dict[str, Any]
    matrix: np.ndarray
    """[R, T + 1, T], NaN where not reached; row 0 is before any learning."""
    eval_units: np.ndarray
    """[P], increasing."""
    eval_seen: np.ndarray
    """[P] tasks learned, or being learned, at an evaluation; 0 before any learning."""
    eval_scores: np.ndarray
    """[R, P, T], NaN where a task was not evaluated."""
    probe_scores: np.ndarray
    """[R, P, T] the same on what probes look at, which may be less: what can be compared from one evaluation to the next."""
    train_units: np.ndarray
    """[N], increasing."""
    train: dict[str, np.ndarray]
    """[R, N] by name ("loss" and the score's); NaN where not finite or not recorded."""
    insight: Insight
    sequences: Sequences | None
    """What was learned class after class; None under other protocols than `meta_continual`."""

    @property
    def num_replicates(self) -> int:
        return len(self.matrix)

    @property
    def num_tasks(self) -> int:
        return int(self.matrix.shape[2])

    @property
    def num_phases(self) -> int:
        """Stretches of training, one a task; under `meta_continual`, whose tasks are segments of the meta-test, one in all."""
        return self.num_tasks if self.sequences is None else 1

    @property
    def units_per_task(self) -> int:
        return int(self.summary["units_per_task"])

    @property
    def unit_name(self) -> str:
        return str(self.summary["unit_name"])

    @property
    def objective(self) -> Score:
        """Whose scores these are."""
        return SCORES[self.summary["score"]]

    @property
    def possible(self) -> Bounds:
        """What a score can be."""
        return self.objective.least, self.objective.largest

    @property
    def transductive_score(self) -> float | None:
        """The score with all queries of an episode together; None where there is none beside that of each query alone."""
        metric = self.summary["metrics"].get(f"{TRANSDUCTIVE}{self.objective.score_name}")
        return None if metric is None else metric["mean"]

    @property
    def chance(self) -> float | None:
        return self.summary["chance"]

    @property
    def evaluation_error(self) -> float | None:
        """95% half-width of one seed's score at the last evaluation, over what it was evaluated on; mean over seeds."""
        half = np.array(self.summary["evaluation_half_width"], dtype=float)
        if not half.size or not np.isfinite(half).any(axis=1).all():
            return None
        return float((np.sqrt(np.nansum(half**2, 1)) / np.isfinite(half).sum(1)).mean())

    @property
    def probe_units(self) -> np.ndarray:
        """Units of the evaluations within a task."""
        return self.eval_units[self.eval_units % self.units_per_task > 0]

    @property
    def eval_split(self) -> str:
        """What scores were measured on, "test" or "validation"."""
        return str(self.summary["eval_split"])

    @property
    def probe_samples(self) -> int | None:
        """Samples of a task that an evaluation within a task looks at; None: as many as any other."""
        protocol = self.config.get("protocol")
        return protocol.get("probe_samples") if isinstance(protocol, dict) else None

    @property
    def probes_look_at_less(self) -> bool:
        """Whether there are such evaluations, and fewer samples in them."""
        return self.probe_samples is not None and len(self.probe_units) > 0

    @property
    def time_words(self) -> str | None:
        """What share of the run's time evaluation and looking inside took, as a sentence; None where that is not known."""
        timing = self.summary["timing"]
        train, evaluate, inside = (timing.get(name) for name in ("train_s", "evaluate_s", "insight_s"))
        if None in (train, evaluate, inside) or not train + evaluate + inside:
            return None
        total = train + evaluate + inside
        what = "Probes and evaluation" if len(self.probe_units) else "Evaluation"
        if self.sequences is not None:
            what = "Probes and meta-test" if len(self.sequences.probe_units) else "Meta-test"
        also = f", looking inside {inside / total:.0%}" if inside else ""
        return f"{what} took {evaluate / total:.0%} of the time{also}."

    @property
    def rows_reached(self) -> int:
        """Rows of the matrix from the first to the last that every replicate reached; not all tasks need have been evaluated
        in each, see `whole_rows`."""
        reached = np.isfinite(self.matrix).any(axis=2).all(axis=0)
        return int(np.argmin(reached)) if not reached.all() else len(reached)

    @property
    def whole_rows(self) -> list[int]:
        """Those of the rows reached in which every task learned by then was evaluated; of row 0, all tasks."""
        finite = np.isfinite(self.matrix[:, : self.rows_reached]).all(axis=0)
        return [row for row, tasks in enumerate(finite) if tasks[: row or None].all()]

    @property
    def future_is_evaluated(self) -> bool:
        """Whether all tasks to come were evaluated as well."""
        return bool(np.isfinite(self.matrix[:, self.whole_rows]).all())

    def task_label(self, task: int, width: int = 24) -> str:
        """The number and name of a task, "3: Hebrew"; "task 3" where replicates order the tasks differently; of a segment of a
        sequence, its name alone, "classes 11 to 50"."""
        names = {" ".join(replicate[task].split()) for replicate in self.summary["task_names"]}
        name = names.pop() if len(names) == 1 else ""
        if not name or name == f"task {task + 1}":
            return f"task {task + 1}"
        if self.sequences is not None:
            return name
        return cut(f"{task + 1}: {name}", width)

    def column_label(self, task: int) -> str:
        """What stands over a column of the accuracy matrix: the number of a task; what a segment holds, on two lines."""
        if self.sequences is None:
            return str(task + 1)
        return self.task_label(task).removeprefix(f"{self.objective.concepts} ").replace(" to ", "\nto ")

    @property
    def columns(self) -> str:
        """What the columns of the accuracy matrix are."""
        return "task" if self.sequences is None else self.objective.concepts


def cut(text: str, width: int) -> str:
    """At most so many characters, the last of them dots where some had to go."""
    return text if len(text) <= width else text[: width - 1] + "…"


def load(directory: Path) -> Run:
    """Reads what `storage/store.py` wrote; StorageError says which file is missing or broken."""
    config = _config(directory)
    summary = _complete(_summary(directory), config)
    records = _records(directory / "metrics.jsonl")
    shape = len(summary["seeds"]), len(summary["task_names"][0]) if summary["task_names"] else 0
    evaluations = _evaluations(records, summary["score"], *shape)
    train_units, train = _training(records, shape[0])
    matrix, insight = _matrix(directory, *shape), read(records)
    sequences = sequence_records.read(records, summary)
    return Run(directory, config, summary, matrix, *evaluations, train_units, train, insight, sequences)


def marks(summary: dict[str, Any]) -> list[str]:
    """What has to be known of a run's numbers before they are read."""
    split, test = summary["eval_split"], summary["meta_test"]
    found = [TRANSDUCTIVE_MARK] if summary.get("transductive") else []
    found += [ON_VALIDATION] if split == "validation" else []
    return [*found, TUNED_ON[split]] if test is not None and test["tuned_on"] == "test" else found


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    """What a config says of protocol and model, by full keys."""
    groups = {group: config.get(group) for group in ("protocol", "model")}
    return {f"{group}.{key}": value for group, node in groups.items() if isinstance(node, dict) for key, value in node.items()}


def _complete(summary: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """With what summaries of earlier versions do not say, worked out from the config."""
    kind = kind_of(summary, config)
    known = {"eval_split": _eval_split(config), "chance": chance_level(kind, config)}
    return {**known, "transductive": was_transductive(_flat(config)), **summary, "protocol_kind": kind}


def _eval_split(config: dict[str, Any]) -> str:
    """For runs whose summary does not say, as those of earlier versions."""
    protocol = config.get("protocol")
    return str(protocol.get("eval_split", "test")) if isinstance(protocol, dict) else "test"


def _summary(directory: Path) -> dict[str, Any]:
    path = directory / "summary.json"
    try:
        return UNKNOWN | json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} cannot be read: {error}") from error


def _config(directory: Path) -> dict[str, Any]:
    path = directory / "config.yaml"
    try:
        return dict(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise StorageError(f"{path} cannot be read: {error}") from error


def _matrix(directory: Path, replicates: int, tasks: int) -> np.ndarray:
    path = directory / "accuracy_matrix.npy"
    if not path.exists() or not tasks:
        return np.full((replicates, tasks + 1, tasks), np.nan)
    try:
        regular_file(path)
        matrix = np.asarray(np.load(path, allow_pickle=False), dtype=float)
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} cannot be read: {error}") from error
    if matrix.shape != (replicates, tasks + 1, tasks):
        raise StorageError(f"{path} is of shape {matrix.shape}, but the run has {replicates} seeds and {tasks} tasks")
    return matrix


def _records(path: Path) -> list[dict[str, Any]]:
    """Every whole line, the scores of evaluations as arrays at once; a line cut short by a kill is left out."""
    if not path.exists():
        return []
    try:
        regular_file(path)
        with open(path, "rb") as file:
            return [_compact(json.loads(line)) for line in file if line.endswith(b"\n")]
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} is damaged: {error}") from error


def _compact(record: dict[str, Any]) -> dict[str, Any]:
    if record.get("kind") != "eval":
        return record
    return {key: np.array(value, dtype=float) if isinstance(value, list) else value for key, value in record.items()}


def _evaluations(
    records: list[dict[str, Any]], score: str, replicates: int, tasks: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Units, tasks seen, scores, and scores on what probes look at; see `Run`."""
    by_unit = {record["unit"]: record for record in records if record.get("kind") == "eval" and tasks}
    units = sorted(by_unit)  # a unit repeated by a continued run counts once, as it came last
    seen = np.zeros(len(units), dtype=int)
    scores, probes = np.full((2, replicates, len(units), tasks), np.nan)
    for place, unit in enumerate(units):
        record = by_unit[unit]
        seen[place] = record["task"] + 1 if record["row"] is None else record["row"]
        which = record["tasks"].astype(int) if "tasks" in record else slice(None)
        scores[:, place, which] = record[score]
        probes[:, place, which] = record.get("probe", record[score])
    return np.array(units, dtype=int), seen, scores, probes


def _training(records: list[dict[str, Any]], replicates: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    by_unit = {record["unit"]: record["metrics"] for record in records if record.get("kind") == "train"}
    units = sorted(by_unit)
    missing = [math.nan] * replicates
    names = dict.fromkeys(name for unit in units for name in by_unit[unit])  # in the order of their first appearance
    curves = {name: np.array([by_unit[unit].get(name, missing) for unit in units], dtype=float).T for name in names}
    return np.array(units, dtype=int), curves

"""MLflow: parameters, curves by unit of work, and the files of the run directory as artifacts."""

from __future__ import annotations

import logging
import os
import time
import warnings
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any

import filelock
from annotated_types import MinLen

from metacl_run.core.bounds import Count, NonNegative
from metacl_run.core.errors import shown
from metacl_run.listeners.run_description import files, flat_settings, require_package
from metacl_run.listeners.scalars import meta_test_curves, scalars
from metacl_run.storage.listener import Listener, Logger, RunInfo
from metacl_run.storage.run_files import FIGURES, MLFLOW_ARTIFACTS
from metacl_run.storage.stored_run import StoredRun

RUN_ID = "metacl_run.run_id"
"""The tag by which a continued run finds itself."""
UNIT = "unit"
"""The metric that says how far the run is logged."""
MOST_METRICS, MOST_PARAMS = 1000, 100
"""What MLflow takes in one batch."""
LONGEST_KEY = 250
"""Characters of the name of a parameter. Its value is at most as long as `shown` makes it, which every server takes."""
STATUS = {"completed": "FINISHED", "interrupted": "KILLED"}
UNFINISHED = ("RUNNING", "KILLED")


@dataclass(frozen=True, kw_only=True)
class MlflowLogger(Logger):
    tracking_uri: str | None
    """None: MLFLOW_TRACKING_URI, else an SQLite database in output_dir."""
    experiment: Annotated[str, MinLen(1)]
    name: str | None
    """The name that MLflow shows; None: the name of the run."""
    flush_s: Count
    """Seconds between two deliveries to MLflow."""
    checkpoint_mb: NonNegative
    """The largest checkpoint.pt that is logged."""

    def __post_init__(self) -> None:
        require_package("mlflow", "mlflow", "'metacl-run[mlflow]'")

    def listener(self) -> Listener:
        return MlflowListener(self)


class MlflowListener(Listener):
    """Logs to one MLflow run. A run that is continued here is continued there; one that is computed again is a new one."""

    def __init__(self, logger: MlflowLogger) -> None:
        self._logger = logger
        self._client: Any = None
        self._id = ""
        self._info: RunInfo
        self._metrics: list[Any] = []
        """Those not delivered yet."""
        self._first_unit = 0
        """The unit from which MLflow lacks records."""
        self._next_s = 0.0

    def started(self, info: RunInfo) -> None:
        self._info = info
        uri = self._logger.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
        own = info.output_dir / "mlflow.db"
        with filelock.FileLock(info.output_dir / ".mlflow.lock"):  # jobs that start together would all make the tables
            self._client = _client(uri or f"sqlite:///{own}")
            experiment = self._experiment(None if uri else (info.output_dir / MLFLOW_ARTIFACTS).as_uri())
        self._open_run(experiment)
        for record in info.earlier:
            self.record(record)

    def record(self, record: dict[str, Any]) -> None:
        if record["unit"] < self._first_unit:
            return
        if values := scalars(record, self._info.seeds, self._info.score):
            self._add({UNIT: record["unit"], **values}, record["unit"])
        if time.monotonic() >= self._next_s:
            self._deliver()

    def finished(self, run: StoredRun) -> None:
        summary = run.summary
        for classes, values in meta_test_curves(summary, self._info.seeds).items():
            self._add(values, classes)  # against classes learned, not units of work
        self._add({name: metric["mean"] for name, metric in summary["metrics"].items() if metric["mean"] is not None}, 0)
        self._deliver()
        self._client.set_tag(self._id, "status", summary["status"])
        for path in files(self._info.directory, self._logger.checkpoint_mb):
            self._client.log_artifact(self._id, str(path))
        if any((figures := self._info.directory / FIGURES).glob("*.png")):
            self._client.log_artifacts(self._id, str(figures), FIGURES)
        self._client.set_terminated(self._id, STATUS.get(summary["status"], "FAILED"))

    # ------------------------------------------------------------------------------------------------------------ its start

    def _experiment(self, artifacts: str | None) -> str:
        """Returns the id of the experiment, which is made where there is none."""
        experiment = self._client.get_experiment_by_name(self._logger.experiment)
        return str(
            experiment.experiment_id if experiment else self._client.create_experiment(self._logger.experiment, artifacts)
        )

    def _open_run(self, experiment: str) -> None:
        """Continues the MLflow run of an interrupted run, or makes a new one."""
        info = self._info
        runs = self._client.search_runs([experiment], f"tags.`{RUN_ID}` = '{info.run_id}'", max_results=1)
        if runs and (info.earlier or runs[0].info.status in UNFINISHED):
            self._id = runs[0].info.run_id
            self._first_unit = int(runs[0].data.metrics.get(UNIT, 0))
            self._client.update_run(self._id, status="RUNNING")
            return
        self._id = self._client.create_run(experiment, tags=_tags(info), run_name=self._logger.name or info.name).info.run_id
        from mlflow.entities import Param

        params = iter([Param(key[:LONGEST_KEY], shown(value)) for key, value in flat_settings(info).items()])
        while batch := list(islice(params, MOST_PARAMS)):
            self._client.log_batch(self._id, params=batch)

    # ---------------------------------------------------------------------------------------------------------- its metrics

    def _add(self, values: dict[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._metrics += [Metric(name, value, now, step) for name, value in values.items()]

    def _deliver(self) -> None:
        self._next_s = time.monotonic() + self._logger.flush_s
        while self._metrics:
            self._client.log_batch(self._id, metrics=self._metrics[:MOST_METRICS])
            del self._metrics[:MOST_METRICS]


def _client(uri: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of SQLAlchemy, about MLflow's own tables
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it would print how it makes its tables
        return MlflowClient(tracking_uri=uri)


def _tags(info: RunInfo) -> dict[str, str]:
    tags = {RUN_ID: info.run_id, "tags": ", ".join(info.tags), "group": info.group or ""}
    commit = str(info.environment.get("git_commit") or "")
    tags |= {"mlflow.source.git.commit": commit.rstrip("+"), "mlflow.source.name": "metacl-run"}
    return {key: value for key, value in tags.items() if value}

"""MLflow, read back from its database by its own client."""

from __future__ import annotations

from pathlib import Path

import pytest

from metacl_run.config.components import fill
from metacl_run.listeners.mlflow_listener import MlflowLogger, _client
from metacl_run.storage.find_runs import find_runs
from metacl_run.storage.listener import Listener
from tests.support.listeners import info_of, records, stored

pytest.importorskip("mlflow")
SETTINGS = {"tracking_uri": None, "experiment": "mine", "name": None, "flush_s": 10, "checkpoint_mb": 1}


def listener() -> Listener:
    logger: MlflowLogger = fill(MlflowLogger, SETTINGS, "logger.mlflow")
    return logger.listener()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_continued_run_continues_its_mlflow_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    everything, long = list(records()), list(range(1000))
    config = {"algo": {"_target_": "x.Maml", "inner_lr": 0.4, "rates": long}, "output_dir": "o"}
    info = info_of(tmp_path / "data" / "algo" / "0123abcd", config=config, tags=["pilot", "x"], group="sweep-1")
    killed = listener()
    killed.started(info)
    for record in everything[:6]:
        killed.record(record)
    killed._deliver()  # type: ignore[attr-defined] - ten seconds later

    continued = listener()
    continued.started(info._replace(first_unit=2, earlier=everything[:3]))
    for record in everything[3:]:
        continued.record(record)
    (info.directory / "metrics.jsonl").write_text("")
    continued.finished(stored(info))

    client = _client(f"sqlite:///{tmp_path}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("mine").experiment_id])
    assert (run.info.run_name, run.info.status) == ("maml-split_glyphs-0123ab", "FINISHED")
    assert run.data.params == {
        **{"algo": "maml", "data": "split_glyphs", "model": "conv4", "protocol": "continual_meta"},
        "algo.inner_lr": "0.4",
        "algo.rates": f"{str(long)[:200]}... (4890 characters)",
    }
    tags = {"metacl_run.run_id": "0123abcd", "tags": "pilot, x", "group": "sweep-1", "mlflow.source.git.commit": "c0ffee"}
    assert tags.items() <= run.data.tags.items()
    assert (run.data.metrics["accuracy"], run.data.metrics["eval/task_02"]) == (0.75, pytest.approx(0.85))
    losses = {metric.step: metric.value for metric in client.get_metric_history(run.info.run_id, "train/loss")}
    assert list(losses) == list(range(1, 9))
    assert losses[8] == pytest.approx(1.5 / 8)
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert files == {"config.yaml", "summary.json", "metrics.jsonl", "accuracy_matrix.npy"}
    assert find_runs([tmp_path]).runs == [info.directory]  # and no copy of its files

    listener().started(info)  # rerun=true: another MLflow run
    assert len(client.search_runs([run.info.experiment_id])) == 2

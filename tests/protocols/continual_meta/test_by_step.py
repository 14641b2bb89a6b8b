"""`protocol.by_step`: the score after 0 to K inner steps from one evaluation, against K + 1 of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import metacl_run as mr
from metacl_run.config.load import Experiment
from metacl_run.experiment import run
from metacl_run.reporting.run_grids import steps_grid
from metacl_run.storage.stored_run import StoredRun


@pytest.fixture(autouse=True)
def _nothing_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metacl_run.reporting.figures.draw", lambda _: [])
    monkeypatch.setattr("metacl_run.reporting.report.write", lambda _: None)


OWN = {
    "maml": [],
    "meta_sgd": ["model=conv4_image_small", "model.channels=4"],
    "reptile": ["algo.inner_steps=2", "algo.carry_moments=true", "algo.eval_inner_steps=3", "algo.eval_inner_batch=2"],
}


@pytest.mark.parametrize("algo", OWN)
def test_every_step_is_an_evaluation_with_as_many(algo: str, experiment: Callable[..., Experiment]) -> None:
    common = "seeds=[0,2]", "gpu.precision=float64", "protocol.eval_every=0", "algo.eval_inner_steps=3", *OWN[algo]
    built = experiment(f"algo={algo}", *common)
    assert run(built) == 0
    measured = mr.evaluate(built.directory, ["protocol.by_step=true"])
    content = measured.summary["by_step"]
    names = [("accuracy", "curve")] + ([] if algo == "meta_sgd" else [("transductive_accuracy", "transductive")])
    for metric, key in names:
        curve = np.array(content[key])
        assert curve.shape == (2, 4)
        np.testing.assert_allclose(curve[:, 3], measured.metrics[metric].values, atol=1e-12)
        for step in (1, 2) if algo != "reptile" else ():  # its mini-batches are drawn for all steps at once
            other = mr.evaluate(built.directory, [f"algo.eval_inner_steps={step}"])
            np.testing.assert_allclose(curve[:, step], other.metrics[metric].values, atol=1e-12)
    if algo == "maml":
        before = mr.evaluate(built.directory, ["algo.eval_inner_steps=0"])
        np.testing.assert_allclose(np.array(content["curve"])[:, 0], before.metrics["accuracy"].values, atol=1e-12)
    records = [record for record in measured.records() if record["kind"] == "by_step"]
    assert len(records) == 8 * len(names)
    assert {
        (record["unit"], record["value"]) for record in records if record["seed"] == 2 and record["metric"] == "accuracy"
    } == {(step, value) for step, value in enumerate(content["curve"][1])}


def test_a_method_without_steps_has_one_row_and_the_report_a_table(experiment: Callable[..., Experiment]) -> None:
    for algo, rows in (("protonet", 1), ("maml", 3)):
        more = [] if algo == "protonet" else ["algo.eval_inner_steps=2"]
        built = experiment(f"algo={algo}", "seeds=[0,1,2]", "protocol.by_step=true", "protocol.eval_every=0", *more)
        assert run(built) == 0
        stored = StoredRun(built.directory)
        grid = steps_grid(stored)
        assert grid is not None
        assert len(grid.rows) == rows
        assert len({len(row) for row in grid.rows} | {len(grid.headings)}) == 1
        mean = stored.summary["metrics"]["accuracy"]["mean"]
        assert float(grid.rows[-1][1].text) == pytest.approx(mean, abs=1e-3)

"""The baseline of every meta-test of classes: class means of the untrained network's features."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from metacl_run.config.load import Experiment
from metacl_run.experiment import run
from metacl_run.reporting.run_grids import lengths_grid
from metacl_run.reporting.sentences import sentence
from metacl_run.storage.stored_run import StoredRun
from tests.support.runs import records, stop_after
from tests.support.settings import FUNCTIONS, SEQUENCE_LEARNERS, SMALL_SEQUENCES


@pytest.fixture(autouse=True)
def _nothing_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metacl_run.reporting.figures.draw", lambda _: [])
    monkeypatch.setattr("metacl_run.reporting.report.write", lambda _: None)


@pytest.fixture
def sequences(experiment: Callable[..., Experiment]) -> Callable[..., Experiment]:
    def build(algo: str, *overrides: str) -> Experiment:
        more = [*SEQUENCE_LEARNERS[algo], "seeds=[3,5]", "gpu.precision=float64", *overrides]
        return experiment(f"algo={algo}", *more, tiny=SMALL_SEQUENCES)

    return build


def summary_of(built: Experiment) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((built.directory / "summary.json").read_text())
    return summary


def test_it_is_what_an_untrained_network_reaches_whatever_is_learned(sequences: Callable[..., Experiment]) -> None:
    """With little memory, and where a run starts from another one. (Weights depend on whether there is a head.)"""
    frozen, untrained = sequences("ncm_cl", "model=oml_small"), sequences("scratch", "algo.test_head=ncm")
    trained = sequences("gemcl", "model=oml_small", "gpu.memory_gb=1e-6")
    assert run(frozen) == run(untrained) == run(trained) == 0
    started = sequences("gemcl", "model=oml_small", "algo.prior_b=10", f"start_from={trained.directory}")
    learned = sequences("oml")
    assert run(started) == run(learned) == 0
    for built, expected in (
        (frozen, frozen),
        (trained, frozen),
        (started, frozen),
        (untrained, untrained),
        (learned, untrained),
    ):
        tested, same = summary_of(built), summary_of(expected)
        for name in ("accuracy", "memory"):
            np.testing.assert_allclose(tested["meta_test"]["untrained"][name], same["meta_test"][name], atol=1e-12)
        metric = tested["metrics"]["untrained_accuracy"]
        np.testing.assert_allclose(metric["values"], same["metrics"]["accuracy"]["values"], atol=1e-12)


def test_every_report_has_it(sequences: Callable[..., Experiment]) -> None:
    built = sequences("scratch")
    assert run(built) == 0
    stored = StoredRun(built.directory)
    grid = lengths_grid(stored)
    assert grid is not None
    place = grid.headings.index("random features")
    last = stored.summary["metrics"]["untrained_accuracy"]["mean"]
    assert float(grid.rows[-1][place].text) == pytest.approx(last, abs=1e-3)
    assert f"Class means of random features recognise {last:.0%}." in sentence(stored)


def test_stopped_within_it(sequences: Callable[..., Experiment]) -> None:
    base = sequences("scratch").output_dir
    unbroken, broken = (
        sequences("scratch", "gpu.memory_gb=1e-6", f"output_dir={base / name}") for name in ("unbroken", "broken")
    )
    assert run(unbroken) == 0
    parts = max(record["done"] for record in records(unbroken.directory) if record["kind"] == "meta_test_progress")
    stop_after(broken, parts - 2)
    assert run(broken) == 0
    assert summary_of(unbroken)["meta_test"] == summary_of(broken)["meta_test"]
    assert records(unbroken.directory) == records(broken.directory)


def test_functions_have_none(experiment: Callable[..., Experiment]) -> None:
    built = experiment("algo=alpaca", tiny=FUNCTIONS)
    assert run(built) == 0
    assert summary_of(built)["meta_test"]["untrained"] is None

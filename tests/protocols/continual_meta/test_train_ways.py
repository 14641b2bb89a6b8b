"""`algo.train_ways`: training episodes of more classes than those that are evaluated."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from metacl_run.config.load import Experiment
from metacl_run.core.errors import ConfigError
from metacl_run.experiment import run
from metacl_run.protocols.continual_meta.setup import FewShotSetup
from tests.support.runs import assert_same_run, context_of, stop_after


@pytest.fixture(autouse=True)
def _nothing_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metacl_run.reporting.figures.draw", lambda _: [])
    monkeypatch.setattr("metacl_run.reporting.report.write", lambda _: None)


@pytest.mark.parametrize("algo", ["protonet", "r2d2"])
def test_training_has_its_own_ways_and_evaluation_stays(algo: str, experiment: Callable[..., Experiment]) -> None:
    plain, wide = (experiment(f"algo={algo}", "data.shots=2", *more) for more in ((), ("algo.train_ways=7",)))
    setups = [FewShotSetup.of(context_of(built), "test", 1) for built in (plain, wide)]
    small, large = (setup.episodes.training(0, 0) for setup in setups)
    assert small.support_y[0, 0].tolist() == [0, 0, 1, 1, 2, 2]
    assert large.support_y[0, 0].tolist() == [place for place in range(7) for _ in range(2)]
    for mine, same in zip(*(setup.episodes.evaluation(1, 0, 3) for setup in setups), strict=True):
        assert torch.equal(mine, same)


@pytest.mark.parametrize("algo", ["protonet", "r2d2"])
def test_stopped_it_ends_as_the_unbroken_run(algo: str, experiment: Callable[..., Experiment]) -> None:
    base = experiment().output_dir
    common = "algo.train_ways=6", "seeds=[0,1]"
    unbroken, broken = (experiment(f"algo={algo}", *common, f"output_dir={base / name}") for name in ("unbroken", "broken"))
    assert run(unbroken) == 0
    for units in (2, 5):
        stop_after(broken, units)
    assert run(broken) == 0
    assert_same_run(unbroken.directory, broken.directory)


def test_no_more_ways_than_there_are_classes(experiment: Callable[..., Experiment]) -> None:
    with pytest.raises(ConfigError, match=r"^algo\.train_ways=50: must be at most \d+: the smallest task of any seed has"):
        experiment("algo=protonet", "algo.train_ways=50")
    uneven = "data.num_classes=25", "data.num_tasks=2", "data.validation_classes=0.2", "data.test_classes=0.2", "data.ways=2"
    message = r"^algo\.train_ways=8: must be at most 7: a task can have 13 classes, 7 of them for train"  # of 12 it is 8
    with pytest.raises(ConfigError, match=message):
        experiment("algo=protonet", "algo.train_ways=8", *uneven)
    with pytest.raises(ConfigError, match=r"algo\.train_ways=4: Maml has no such setting"):
        experiment("algo=maml", "+algo.train_ways=4")

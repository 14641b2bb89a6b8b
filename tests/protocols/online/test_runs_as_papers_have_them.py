"""Whole runs with a residual network, running averages and augmentation: stopped and gone on with, side by side and alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_leaves, tree_map

import metacl_run
from metacl_run.config.load import Experiment
from metacl_run.experiment import run
from tests.support.runs import assert_same_run, stop_after

WORDS = [
    *("data=split_glyphs", "data.num_classes=8", "data.num_scripts=2", "data.tasks_from=characters", "data.num_tasks=2"),
    *("data.classes_per_task=3", "data.image_size=8", "data.shift=none", "data.augment=crop_flip", "data.normalize=channels"),
    *("model=resnet18_slim", "model.channels=2", "gpu.threads=1", "gpu.precision=float64", "algo.batch_size=9"),
]


@pytest.fixture
def images(experiment: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Experiment]:
    monkeypatch.setattr("metacl_run.reporting.figures.draw", lambda _: [])
    monkeypatch.setattr("metacl_run.reporting.report.write", lambda _: None)

    def build(*overrides: str) -> Experiment:
        return experiment("algo=er", "algo.updates=1", "algo.memory=20", *WORDS, *overrides, tiny=[])

    return build


def test_a_run_ends_as_the_unbroken_one_and_each_seed_as_alone(images: Callable[..., Experiment]) -> None:
    base = images().output_dir
    unbroken, broken = (images("seeds=[0,1]", f"output_dir={base / name}") for name in ("unbroken", "broken"))
    assert run(unbroken) == 0
    for units in (2, 5, 8):  # in the first task, at its end, in the second
        stop_after(broken, units)
    assert run(broken) == 0
    assert_same_run(unbroken.directory, broken.directory)
    alone = images("seeds=[1]")
    assert run(alone) == 0
    states = [torch.load(own.directory / "checkpoint.pt", weights_only=True)["content"]["learner"] for own in (unbroken, alone)]
    for both, one in zip(*map(tree_leaves, states), strict=True):
        torch.testing.assert_close(both[1], one[0], rtol=1e-7, atol=1e-9)
    assert any("running_mean" in name for name in states[1]["params"])


def test_the_learner_of_a_run_predicts_by_its_averages(images: Callable[..., Experiment]) -> None:
    built = images()
    assert run(built) == 0
    learner = metacl_run.load(built.directory).learner()
    x = torch.from_numpy(np.random.default_rng(0).random((4, 1, 8, 8)))
    torch.testing.assert_close(learner.outputs(x[:1]), learner.outputs(x)[:1])  # whatever else is there
    module = learner.module().double().eval()
    scaled = built.data.input_scale().apply(x)
    torch.testing.assert_close(module(scaled), learner.outputs(x), check_dtype=False, rtol=1e-4, atol=1e-4)
    averages = tree_map(torch.clone, dict(module.state_dict()))
    module.train()(scaled)  # trained further, the module moves them itself
    assert any(not torch.equal(value, averages[name]) for name, value in module.state_dict().items())

"""Recordings of changed dynamics, with a recorder of our own: standardised by what is learned, made once, cut into windows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from metacl_run.core.errors import SettingError, SimulatorError
from metacl_run.data.sources import half_cheetah_dynamics
from metacl_run.data.sources.half_cheetah_dynamics import HalfCheetahDynamics
from tests.support.cheetah_recorder import MadeUpRecorder, NoRecorder

SOURCE = HalfCheetahDynamics(
    learned=["usual", "cripple:bshin"],
    unseen=["gravity:0.5"],
    recordings=3,
    test_recordings=1,
    recording_steps=30,
    generator_seed=0,
    processes=1,
    timeout=30.0,
)


@pytest.fixture(autouse=True)
def _made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(half_cheetah_dynamics, "HalfCheetahRecorder", MadeUpRecorder)


def test_the_learned_part_has_mean_0_and_deviation_1() -> None:
    made = SOURCE.read()
    assert (made.names, made.num_learned, made.learned_recordings) == (["usual", "cripple:bshin", "gravity:0.5"], 2, 3)
    assert (made.x.shape, made.y.shape, made.x.dtype) == ((3, 4, 30, 23), (3, 4, 30, 17), np.float32)
    learned = np.concatenate([made.x, made.y], -1)[:2, :3].reshape(-1, 40)
    np.testing.assert_allclose(learned.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(learned.std(0), 1, atol=1e-5)
    assert np.abs(made.x[2].mean((0, 1))).max() > 1e-3


def test_windows_are_steps_that_follow_each_other() -> None:
    made = SOURCE.read()
    x, y = made.windows(np.array([[0, 2]]), np.array([[1, 3]]), np.array([[5, 14]]), 16)
    np.testing.assert_array_equal(x, [[made.x[0, 1, 5:21], made.x[2, 3, 14:30]]])
    np.testing.assert_array_equal(y, [[made.y[0, 1, 5:21], made.y[2, 3, 14:30]]])


def test_recordings_are_made_once_whatever_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    first = SOURCE.read()
    monkeypatch.setattr(half_cheetah_dynamics, "HalfCheetahRecorder", NoRecorder)
    again = dataclasses.replace(SOURCE, learned=["cripple:bshin"], unseen=["usual"], processes=3).read()
    np.testing.assert_array_equal(again.y[0, :, :, 0].argsort(), first.y[1, :, :, 0].argsort())
    with pytest.raises(SimulatorError, match="nothing is to be made"):
        dataclasses.replace(SOURCE, generator_seed=1).read()


def test_more_processes_make_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    first = SOURCE.read()
    monkeypatch.setenv("METACL_CACHE", str(tmp_path_factory.mktemp("another")))
    np.testing.assert_array_equal(dataclasses.replace(SOURCE, processes=3).read().x, first.x)


def test_names_are_checked() -> None:
    with pytest.raises(SettingError, match="unseen=fly: must be usual"):
        dataclasses.replace(SOURCE, unseen=["fly"])
    with pytest.raises(SettingError, match="unseen=usual: is named twice"):
        dataclasses.replace(SOURCE, unseen=["usual"])
    with pytest.raises(SettingError, match="must name at least one dynamics"):
        dataclasses.replace(SOURCE, learned=[])

"""Recordings of changed dynamics, with a recorder of our own: by family, made once."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from metacl_run.core.errors import SettingError, SimulatorError
from metacl_run.data.sources import half_cheetah_dynamics
from metacl_run.data.sources.half_cheetah_dynamics import HalfCheetahDynamics
from tests.support.cheetah_recorder import MadeUpRecorder, NoRecorder

SOURCE = HalfCheetahDynamics(
    dynamics=["gravity:0.5", "cripple:bshin", "gravity:2"],
    recordings=4,
    recording_steps=30,
    generator_seed=0,
    processes=1,
    timeout=30.0,
)


@pytest.fixture(autouse=True)
def _made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(half_cheetah_dynamics, "HalfCheetahRecorder", MadeUpRecorder)


def test_rollouts_come_family_by_family_as_they_were_recorded() -> None:
    made = SOURCE.read()
    assert SOURCE.count_dynamics() == {"gravity": 2, "cripple": 1}
    assert (made.states.shape, made.actions.shape) == ((3, 4, 31, 17), (3, 4, 30, 6))
    for row, name in enumerate(("gravity:0.5", "gravity:2", "cripple:bshin")):
        for rollout, seed in enumerate(SOURCE._seeds(name)):
            states, actions, changes = np.split(MadeUpRecorder().record(name, seed, 30), [17, 23], -1)
            np.testing.assert_allclose(made.states[row, rollout, :-1], states, rtol=1e-6)
            np.testing.assert_allclose(made.actions[row, rollout], actions, rtol=1e-6)
            np.testing.assert_allclose(made.states[row, rollout, -1], states[-1] + changes[-1], rtol=1e-5, atol=1e-5)


def test_recordings_are_made_once_whatever_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    first = SOURCE.read()
    monkeypatch.setattr(half_cheetah_dynamics, "HalfCheetahRecorder", NoRecorder)
    again = dataclasses.replace(SOURCE, dynamics=["cripple:bshin"], processes=3).read()
    np.testing.assert_array_equal(again.states[0], first.states[2])
    with pytest.raises(SimulatorError, match="nothing is to be made"):
        dataclasses.replace(SOURCE, generator_seed=1).read()


def test_more_processes_make_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    first = SOURCE.read()
    monkeypatch.setenv("METACL_CACHE", str(tmp_path_factory.mktemp("another")))
    np.testing.assert_array_equal(dataclasses.replace(SOURCE, processes=3).read().states, first.states)


def test_a_family_alone_is_all_of_it() -> None:
    """Of six joints 41 sets have one to three, and 63 at least one."""
    whole = dataclasses.replace(SOURCE, dynamics=["mass:4", "flip", "mass", "cripple", "motors"])
    assert whole.count_dynamics() == {"mass": 6, "flip": 63, "cripple": 41, "motors": 60}


def test_no_two_recordings_have_the_same_actions() -> None:
    seeds = [seed for name in ("flip:bshin", "flip:ffoot", "motors:1") for seed in SOURCE._seeds(name)]
    assert len(set(seeds)) == 12


def test_names_are_checked() -> None:
    with pytest.raises(SettingError, match="dynamics=fly: must be usual"):
        dataclasses.replace(SOURCE, dynamics=["fly"])
    with pytest.raises(SettingError, match="dynamics=usual: is named twice"):
        dataclasses.replace(SOURCE, dynamics=["usual", "usual"])


@pytest.mark.parametrize(
    "pair", [("cripple:bshin+ffoot", "cripple:ffoot+bshin"), ("motors:17", "motors:017"), ("gravity:0.5", "gravity:.50")]
)
def test_dynamics_written_in_two_ways_are_named_twice(pair: tuple[str, str]) -> None:
    with pytest.raises(SettingError, match=f"dynamics={re.escape(pair[1])}: is named twice"):
        dataclasses.replace(SOURCE, dynamics=["mass:2", *pair])

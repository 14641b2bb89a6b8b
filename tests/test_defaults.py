"""What `metacl-run algo=<any>` alone does: it learns, and algorithms are compared under equal updates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from metacl_run.algorithms.continual_meta.episode_learner import EpisodeLearner
from metacl_run.algorithms.meta_continual.trajectory_learner import TrajectoryLearner
from metacl_run.algorithms.online.stream_learner import StreamLearner
from metacl_run.config.load import Experiment
from metacl_run.config.options import options_that_are
from metacl_run.experiment import run
from tests.support.settings import FUNCTION_LEARNERS, WITH_KNOWN_TASKS
from tests.support.variants import variants_are_slow

LONG = ("reptile", "imaml", "cl_as_seq", "protonet_cl", "maml_rep", "oml_reptile")
"""Those that take ten seconds or more at any size that shows what they learn: only in full."""
FROZEN = ("finetune", "linear_probe", "ncm_few_shot", "ncm_cl")
"""Baselines whose network stays as it starts: they are what the others are compared with."""
STREAM, EPISODES, SEQUENCES = (
    [name for name in options_that_are("algo", kind) if name not in (*FROZEN, *WITH_KNOWN_TASKS)]
    for kind in (StreamLearner, EpisodeLearner, TrajectoryLearner)
)
SEQUENCES = [name for name in SEQUENCES if name != "scratch"]  # learns nothing beforehand: it is the untrained network
LEAST_GAIN = {"cl_as_seq_linear": 0.03}
"""By which a default has to beat its untrained network; of any other method .05. This one has .058 over .012 (chance .01)."""
QUIET = ["gpu.threads=1", "protocol.log_every=1000"]
NO_PROBES = [*QUIET, "protocol.eval_every=0"]


@pytest.fixture(autouse=True)
def _nothing_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures and report are tested elsewhere and would take most of the time here."""
    monkeypatch.setattr("metacl_run.reporting.figures.draw", lambda _: [])
    monkeypatch.setattr("metacl_run.reporting.report.write", lambda _: None)


Build = Callable[..., Experiment]


def rows(built: Experiment) -> np.ndarray:
    """[R, T + 1, T] the accuracy matrix of the run."""
    assert run(built) == 0
    return np.load(built.directory / "accuracy_matrix.npy")


# ------------------------------------------------------------------------------------------- shortened: a second each

FEW_SAMPLES = ["data.num_tasks=2", "data.train_per_task=150", "data.test_per_task=100", "data.train_hands=30"]
FEW_CLASSES = ["data.num_classes=60", "data.num_scripts=2", "data.num_tasks=1", "model.channels=8"]
FEW_EPISODES = [*FEW_CLASSES, "protocol.updates_per_task=30", "protocol.eval_episodes=60"]
SHORT_SEQUENCES = ["protocol.schedule=[10]", "protocol.orders=4", "protocol.selection_orders=2", "protocol.rates=[0.1,0.01]"]
OWN = {
    **{algo: ["model.hidden=[40,40]", "data.learn_examples=128"] for algo in FUNCTION_LEARNERS},
}


@pytest.mark.parametrize("algo", STREAM)
def test_a_short_stream_is_learned(algo: str, experiment: Build) -> None:
    matrix = rows(experiment(f"algo={algo}", tiny=[*NO_PROBES, *FEW_SAMPLES]))[0]
    assert matrix[0].mean() < 0.2  # of ten classes
    assert matrix[-1].mean() > matrix[0].mean() + 0.1


@pytest.mark.parametrize("algo", variants_are_slow(name for name in EPISODES if name not in LONG))
def test_a_few_meta_updates_beat_the_untrained_network(algo: str, experiment: Build) -> None:
    matrix = rows(experiment(f"algo={algo}", tiny=[*NO_PROBES, *FEW_EPISODES]))[0]
    assert matrix[-1].mean() > matrix[0].mean() + 0.02


# ANML takes as long as all others together: below, in full.
@pytest.mark.parametrize("algo", variants_are_slow(name for name in SEQUENCES if name not in ("anml", *LONG)))
def test_a_few_trajectories_beat_the_untrained_network(algo: str, experiment: Build) -> None:
    size = OWN.get(algo, ["model.channels=16"])
    common = [*NO_PROBES, *SHORT_SEQUENCES, *size]
    trained, untrained = (rows(experiment(f"algo={algo}", tiny=[*common, f"protocol.updates={n}"]))[0, -1, 0] for n in (60, 0))
    assert trained < 0.8 * untrained if algo in FUNCTION_LEARNERS else trained > untrained + 0.01


# ---------------------------------------------------------------------------------------------------- equal updates


def updates_a_sample(algo: Any) -> float:
    return getattr(algo, "updates", 1) * getattr(algo, "glances", 1) / algo.batch_size


@pytest.mark.parametrize("algo", STREAM)
def test_none_has_more_updates_for_a_sample_than_another(algo: str, experiment: Build) -> None:
    built = experiment(f"algo={algo}", tiny=[])
    fewer = ("ncm", "oml_er", "anml_er")  # no gradient; an episode, not a batch, is the unit
    expected = 1.0 if algo == "mer" else 0.5  # MER takes one sample at a time
    assert updates_a_sample(built.algo) == (0.1 if algo in fewer else expected)


@pytest.mark.parametrize("algo", STREAM)
def test_none_remembers_more_than_another(algo: str, experiment: Build) -> None:
    built = experiment(f"algo={algo}", tiny=[])
    spec = built.algo.replay_spec(built.data.count_tasks())
    assert spec.capacity in (0, 200)


# ------------------------------------------------------------------------------------ at full length: minutes in all

REMEMBER = [
    *("er", "er_ace", "mir", "a_gem", "gem", "der_pp", "mer"),
    *("la_maml", "la_er", "c_maml", "sync_la_maml", "vr_mcl"),
]


@pytest.mark.slow
def test_every_memory_beats_sgd_on_the_default_stream(experiment: Build) -> None:
    ends = {}
    for algo in STREAM:
        matrix = rows(experiment(f"algo={algo}", "seeds=[0,1,2]", tiny=NO_PROBES))
        ends[algo] = matrix[:, -1].mean()
        assert ends[algo] > matrix[:, 0].mean() + 0.1
    behind = {algo: ends[algo] for algo in REMEMBER if ends[algo] <= ends["sgd"]}
    assert not behind, ends["sgd"]
    assert min(ends["joint"], ends["multitask"]) > ends["sgd"]


@pytest.mark.slow
@pytest.mark.parametrize("algo", EPISODES)
def test_the_default_few_shot_learner_beats_the_untrained_network(algo: str, experiment: Build) -> None:
    matrix = rows(experiment(f"algo={algo}", tiny=NO_PROBES))[0]
    when_learned = np.diagonal(matrix[1:]).mean()  # what later tasks take away is what the stream is about
    assert when_learned > matrix[0].mean() + 0.05


@pytest.mark.slow
@pytest.mark.parametrize("algo", SEQUENCES)
def test_the_default_learner_of_sequences_beats_the_untrained_network(algo: str, experiment: Build) -> None:
    built = [experiment(f"algo={algo}", tiny=[*NO_PROBES, *more]) for more in ([], ["protocol.updates=0"])]
    sizes = np.diff([0, *built[0].protocol.schedule])
    trained, untrained = (np.average(rows(each)[0, -1], weights=sizes) for each in built)
    assert trained < untrained if algo in FUNCTION_LEARNERS else trained > untrained + LEAST_GAIN.get(algo, 0.05)

"""Whole runs of protocol `osaka`: killed and continued, a seed alone and beside others, what is predicted, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import metacl_run
from metacl_run.algorithms.osaka.bayesian_gradient_descent import BayesianGradientDescent
from metacl_run.algorithms.osaka.task_free_learner import Observed, TaskFreeLearner
from metacl_run.config.load import Experiment
from metacl_run.config.options import options_that_are
from metacl_run.core.errors import ConfigError
from metacl_run.experiment import run
from metacl_run.models.network import Network
from metacl_run.protocols.osaka.setup import RecurringSetup
from metacl_run.protocols.osaka.stream_record import StreamRecord
from metacl_run.storage.stored_run import StoredRun
from metacl_run.storage.stream_file import StreamSteps
from tests.support.runs import assert_same_run, context_of, records, stop_after
from tests.support.small_runs import RECURRING, RECURRING_DYNAMICS
from tests.support.variants import variants_are_slow

PROLONGED = [*RECURRING[1:], "algo.buffer=3"]
PLAIN = [setting for setting in RECURRING[1:] if not setting.startswith("algo.")]
BASELINE = [*PLAIN, "algo.pretrain_updates=3", "algo.meta_batch_size=2"]
ALGORITHMS: dict[str, list[str]] = {
    "continual_maml": RECURRING[1:],
    "prolonged_maml": PROLONGED,
    "metabgd": [*PLAIN, "algo.draws=2"],
    "mole": RECURRING_DYNAMICS,
}
BASELINES: dict[str, list[str]] = {
    "sgd_osaka": PLAIN,
    "bgd": [*PLAIN, "algo.draws=2"],
    **dict.fromkeys(("finetune_osaka", "maml_osaka", "anil_osaka"), BASELINE),
}
"""Learners that run the code of those above with parts of it switched off."""


@pytest.fixture(autouse=True)
def _nothing_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures and report are tested elsewhere."""
    monkeypatch.setattr("metacl_run.reporting.figures.draw", lambda _: [])
    monkeypatch.setattr("metacl_run.reporting.report.write", lambda _: None)


@pytest.fixture
def osaka(experiment: Callable[..., Experiment]) -> Callable[..., Experiment]:
    def build(algo: str, *overrides: str) -> Experiment:
        return experiment(f"algo={algo}", *{**ALGORITHMS, **BASELINES}[algo], *overrides, tiny=[])

    return build


def steps_of(built: Experiment) -> StreamSteps:
    steps = StoredRun(built.directory).stream_steps
    assert steps is not None
    return steps


def test_every_learner_of_the_protocol_is_stopped_below() -> None:
    assert {*ALGORITHMS, *BASELINES} == set(options_that_are("algo", TaskFreeLearner))


@pytest.mark.parametrize("algo", variants_are_slow([*ALGORITHMS, *BASELINES]))
def test_stopped_between_two_steps_it_ends_bit_for_bit_as_the_unbroken_run(algo: str, osaka: Callable[..., Experiment]) -> None:
    base = osaka(algo).output_dir
    unbroken, broken = (osaka(algo, "seeds=[0,1]", f"output_dir={base / name}") for name in ("unbroken", "broken"))
    assert run(unbroken) == 0
    for units in (2, 3, 4, 11):  # in pre-training, at its end, in the stream
        stop_after(broken, units)
    assert run(broken) == 0
    assert_same_run(unbroken.directory, broken.directory)
    for own, other in zip(steps_of(unbroken), steps_of(broken), strict=True):
        assert np.array_equal(own, other)


@pytest.mark.parametrize("algo", variants_are_slow(ALGORITHMS))
def test_a_seed_beside_others_has_the_numbers_that_it_has_alone(algo: str, osaka: Callable[..., Experiment]) -> None:
    together, alone = osaka(algo, "seeds=[0,3]", "gpu.precision=float64"), osaka(algo, "seeds=[3]", "gpu.precision=float64")
    assert run(together) == run(alone) == 0
    both, single = steps_of(together), steps_of(alone)
    np.testing.assert_allclose(both.score[1], single.score[0], atol=1e-5)
    for name in ("detected", "is_switch", "domain"):
        assert np.array_equal(getattr(both, name)[1], getattr(single, name)[0])


def test_the_summary_is_what_the_steps_add_up_to(osaka: Callable[..., Experiment]) -> None:
    built = osaka("continual_maml", "seeds=[0,1]", "protocol.steps=40")
    assert run(built) == 0
    steps, stored = steps_of(built), StoredRun(built.directory)
    metrics = stored.summary["metrics"]
    for seed in range(2):
        score, domain = steps.score[seed].astype(float), steps.domain[seed]
        by_domain = [score[domain == place].mean() if (domain == place).any() else np.nan for place in range(3)]
        np.testing.assert_allclose(stored.matrix[seed, -1], by_domain, atol=1e-6)
        assert metrics["accuracy"]["values"][seed] == pytest.approx(score.mean(), abs=1e-6)
        flagged, true = steps.detected[seed], steps.is_switch[seed]
        assert metrics["switch_recall"]["values"][seed] == pytest.approx((flagged & true).sum() / true.sum())
        precision = (flagged & true).sum() / flagged.sum() if flagged.any() else None  # None: nothing was detected
        assert metrics["switch_precision"]["values"][seed] == pytest.approx(precision)
    assert np.isnan(stored.matrix[:, :-1]).all()
    assert stored.scores_so_far[:, -1].tolist() == pytest.approx(metrics["accuracy"]["values"])


def test_no_record_of_training_mixes_pretraining_with_the_stream(osaka: Callable[..., Experiment]) -> None:
    """Of 3 meta-updates, then of 5 steps of the stream again and again, where the score so far is recorded too."""
    built, single = osaka("continual_maml"), osaka("continual_maml", "protocol.log_every=1")
    assert run(built) == run(single) == 0
    train, every = (
        {record["unit"]: record["metrics"] for record in records(own.directory) if record["kind"] == "train"}
        for own in (built, single)
    )
    assert list(train) == [3, 8, 13, 18, 23]
    assert [record["unit"] for record in records(built.directory) if record["kind"] == "eval"] == [8, 13, 18, 23]
    assert train[3]["loss"][0] == pytest.approx(np.mean([every[unit]["loss"] for unit in (1, 2, 3)]), abs=1e-6)
    scores = steps_of(built).score[0].reshape(4, 5).mean(1)
    assert [train[unit]["accuracy"][0] for unit in (8, 13, 18, 23)] == pytest.approx(scores, abs=1e-6)


def test_a_batch_is_predicted_before_it_is_learned(osaka: Callable[..., Experiment]) -> None:
    """The scores are those of a loop that predicts with a state and only then shows the targets."""
    built = osaka("continual_maml", "algo.pretrain_updates=0")
    assert run(built) == 0
    setup = RecurringSetup.of(context_of(built))
    state, scores = setup.algo.begin(setup.network, setup.initial_learners()[0]["now"]), []
    for step in range(20):
        batch = setup.observed(step)
        x, y = batch.x[0], batch.y[0]
        scores.append(float((setup.algo.predict(setup.network, state, x).argmax(1) == y).double().mean()))
        state, _ = setup.algo.observe(setup.network, state, type(batch)(*(leaf[0] for leaf in batch)))
    np.testing.assert_allclose(steps_of(built).score[0], scores, atol=1e-6)


def test_detection_counts_hits_false_alarms_and_misses(osaka: Callable[..., Experiment]) -> None:
    context = context_of(osaka("continual_maml", "seeds=[0,1]"))
    visits = context.pool.visits
    record = StreamRecord(_Empty(), visits, 3, torch.device("cpu"))  # type: ignore[arg-type]
    true = visits.is_switch
    flags = true.copy()
    first = int(np.flatnonzero(true[0])[0])
    flags[0, first], flags[0, first + 1] = False, True  # a miss, and a false alarm in its place
    for step in range(20):
        zeros = torch.zeros(2)
        record.write(step, {"score": zeros, "loss": zeros, "detected": torch.from_numpy(flags[:, step])})
    count = true[0].sum()
    detection = record.detection()
    assert detection["switch_recall"].tolist() == pytest.approx([(count - 1) / count, 1.0])
    assert detection["switch_precision"].tolist() == pytest.approx([(count - 1) / flags[0].sum(), 1.0])

    nothing = torch.zeros(2, dtype=torch.bool)
    for step in range(20):
        record.write(step, {"score": zeros, "loss": zeros, "detected": nothing})
    detection = record.detection()
    assert np.isnan(detection["switch_precision"]).all()
    assert detection["switch_recall"].tolist() == detection["switch_f1"].tolist() == [0.0, 0.0]


class _Empty:
    def __init__(self) -> None:
        self.results: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["data.shares=[0.5,0.5]"], "data.shares=.*must be 3 numbers"),
        (["data.shares=[0.5,0.5,0.5]"], "data.shares=.*must add up to 1"),
        (["data.ways=11"], "data.ways=11: must be at most 10"),
        (["data.shots=16"], "data.shots=16: must be at most 15"),
        (["data.queries=14"], "data.queries=14: must be at most 13"),
        (["data.pretrain_classes=2"], "data.pretrain_classes=2: gives 2 of the 10 classes"),
        (["protocol.eval_split=validation", "data.validation_examples=1"], "data.validation_examples=1: must be at least"),
        (["algo.update=always"], "algo.update_scale=.*must be null with update=always"),
        (["algo.stream_inner_steps=0"], "algo.switch_margin=.*must be null with stream_inner_steps=0"),
        (["data=split_glyphs"], "does not fit protocol=osaka"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_message(
    settings: list[str], message: str, osaka: Callable[..., Experiment]
) -> None:
    with pytest.raises(ConfigError, match=message):
        osaka("continual_maml", *settings)


@pytest.mark.parametrize("algo", ["continual_maml", "sgd_osaka"])
def test_a_network_with_running_averages_is_refused(algo: str, osaka: Callable[..., Experiment]) -> None:
    resnet = ["model=resnet18_slim", "model.channels=4"]
    with pytest.raises(ConfigError, match=r"running averages, which only protocol=online moves.*model\.norm=batch or"):
        osaka(algo, *resnet, "model.norm=running")
    assert osaka(algo, *resnet, "model.norm=batch").model.channels == 4


def test_another_stream_starts_from_the_same_pretrained_learner(osaka: Callable[..., Experiment]) -> None:
    """Bit for bit: the same numbers as a run whose pre-training was the same and whose stream is the other one."""
    import metacl_run as mr

    first, other = osaka("continual_maml"), osaka("continual_maml", "data.stay=0.5", "data.shares=[0,0,1]")
    assert run(first) == run(other) == 0
    again = mr.evaluate(mr.load(first.directory), ["data.stay=0.5", "data.shares=[0,0,1]"])
    assert json.dumps(again.metrics["accuracy"].values) == json.dumps(mr.load(other.directory).metrics["accuracy"].values)


def test_after_its_run_every_batch_has_noise_of_its_own(
    osaka: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    built = osaka("metabgd", "seeds=[0]")
    assert run(built) == 0
    seen: list[torch.Tensor] = []
    observe = BayesianGradientDescent.observe

    def watched(self: BayesianGradientDescent, network: Network, state: Any, batch: Observed) -> Any:
        seen.append(batch.noise)
        return observe(self, network, state, batch)

    monkeypatch.setattr(BayesianGradientDescent, "observe", watched)
    learner = metacl_run.load(built.directory).learner(seed=0)
    x, y = np.zeros((6, 1, 20, 20), np.float32), np.repeat(np.arange(3), 2)
    learner.adapt(x, y).adapt(x, y)
    learner.adapt(x, y)
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], seen[2])

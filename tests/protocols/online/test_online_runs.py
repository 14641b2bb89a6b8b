"""Whole runs of protocol `online`: killed and continued, replicate and single run, probes, what is refused."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_leaves, tree_map

from metacl_run.algorithms.online.gem import Gem
from metacl_run.config.load import Experiment
from metacl_run.core.errors import ConfigError, DataError
from metacl_run.experiment import run
from metacl_run.protocols.online.observations import Observations
from metacl_run.protocols.online.setup import StreamSetup
from tests.support.runs import context_of, stop_after
from tests.support.settings import OF_STREAM_LEARNER, SMALL_SKILLS, SMALL_STREAM, STREAM_LEARNERS
from tests.support.variants import variants_are_slow


@pytest.fixture(autouse=True)
def _nothing_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures and report are tested elsewhere and would take most of the time here."""
    monkeypatch.setattr("metacl_run.reporting.figures.draw", lambda _: [])
    monkeypatch.setattr("metacl_run.reporting.report.write", lambda _: None)


@pytest.fixture
def online(experiment: Callable[..., Experiment]) -> Callable[..., Experiment]:
    def build(algo: str, *overrides: str) -> Experiment:
        shorter = ["data.train_per_task=12"] if algo == "mer" else OF_STREAM_LEARNER.get(algo, [])
        return experiment(f"algo={algo}", *shorter, *overrides, tiny=SMALL_STREAM)

    return build


def test_every_algorithm_of_the_issue_is_there() -> None:
    wanted = "la_maml c_maml sync_la_maml mer er la_er a_gem gem ewc si lwf der_pp sgd multitask joint"
    assert set(wanted.split()) <= set(STREAM_LEARNERS)


def final(built: Experiment) -> tuple[Any, np.ndarray, dict[str, Any], list[Any]]:
    """State, matrix, metrics and records, without times."""
    content = torch.load(built.directory / "checkpoint.pt", weights_only=True)["content"]
    summary = json.loads((built.directory / "summary.json").read_text())
    assert summary["status"] == "completed"
    assert not [warning for warning in summary["warnings"] if "checkpoint" in warning]  # it went on, and did not start again
    lines = [json.loads(line) for line in (built.directory / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        del line["wall_s"]
    return content["learner"], np.load(built.directory / "accuracy_matrix.npy"), summary["metrics"], lines


@pytest.mark.parametrize("algo", variants_are_slow(STREAM_LEARNERS))
def test_stopped_between_two_observations_it_ends_bit_for_bit_as_the_unbroken_run(
    algo: str, online: Callable[..., Experiment]
) -> None:
    base = online(algo).output_dir
    unbroken, broken = (online(algo, "seeds=[0,1]", f"output_dir={base / name}") for name in ("unbroken", "broken"))
    assert run(unbroken) == 0
    per_task = unbroken.data.train_per_task // unbroken.algo.batch_size
    for units in (2, per_task, per_task + 1, 2 * per_task + 3):  # in a task's middle, at its end, just after
        stop_after(broken, units)
    assert run(broken) == 0
    state, matrix, metrics, lines = final(unbroken)
    again = final(broken)
    for expected, found in zip(tree_leaves(state), tree_leaves(again[0]), strict=True):
        assert torch.equal(expected, found)
    np.testing.assert_array_equal(matrix, again[1])
    assert (metrics, lines) == again[2:]
    assert (unbroken.directory / "predictions.json").read_bytes() == (broken.directory / "predictions.json").read_bytes()


SKILL_LEARNERS = {
    "er": ["algo.memory=20", "algo.replay=5"],
    "ewc": ["algo.fisher_samples=10"],
    "si": ["algo.lr_schedule=cosine"],
    "packnet": ["algo.retrain_samples=20", "algo.retrain_passes=1"],
}


@pytest.fixture
def skills(experiment: Callable[..., Experiment]) -> Callable[..., Experiment]:
    def build(algo: str, *overrides: str) -> Experiment:
        return experiment(f"algo={algo}", *SKILL_LEARNERS[algo], *overrides, tiny=SMALL_SKILLS)

    return build


@pytest.mark.parametrize("algo", SKILL_LEARNERS)
def test_skills_in_several_passes_stop_and_go_on_bit_for_bit(algo: str, skills: Callable[..., Experiment]) -> None:
    base = skills(algo).output_dir
    unbroken, broken = (skills(algo, "seeds=[0,1]", f"output_dir={base / name}") for name in ("unbroken", "broken"))
    assert run(unbroken) == 0
    for units in (3, 5, 8, 14):  # in the first pass, in the second, at the end of a task, in a later task
        stop_after(broken, units)
    assert run(broken) == 0
    state, matrix, metrics, lines = final(unbroken)
    again = final(broken)
    for expected, found in zip(tree_leaves(state), tree_leaves(again[0]), strict=True):
        assert torch.equal(expected, found)
    np.testing.assert_array_equal(matrix, again[1])
    assert (metrics, lines) == again[2:]
    assert {"success", "learning_success", "anytime_success", "forgetting", "fwt"} <= set(metrics)
    assert (unbroken.directory / "rollouts.json").read_bytes() == (broken.directory / "rollouts.json").read_bytes()


@pytest.mark.parametrize("algo", ["er", "packnet"])
def test_a_replicate_that_acts_is_its_single_run(algo: str, skills: Callable[..., Experiment]) -> None:
    both = skills(algo, "seeds=[3,5]", "gpu.precision=float64")
    assert run(both) == 0
    state, matrix, _, _ = final(both)
    alone = skills(algo, "seeds=[5]", "gpu.precision=float64")
    assert run(alone) == 0
    own, own_matrix, _, _ = final(alone)
    mine = tree_map(lambda leaf: leaf[1], state)
    for expected, found in zip(tree_leaves(own), tree_leaves(mine), strict=True):
        torch.testing.assert_close(found, expected[0], rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(matrix[1], own_matrix[0])


def test_every_pass_shows_every_sample_once_each_in_an_order_of_its_own(skills: Callable[..., Experiment]) -> None:
    built = skills("er", "protocol.epochs=3")
    setup = StreamSetup.of(context_of(built), 3)
    numbers = setup.batch_numbers(0, range(36)).reshape(3, 3, 40)  # [tasks, passes, samples]
    for task, passes in enumerate(numbers):
        assert all(sorted(own) == list(range(40 * task, 40 * task + 40)) for own in passes)
        assert len({tuple(own - 40 * task) for own in passes}) == 3
        np.testing.assert_array_equal(passes[0], np.arange(40 * task, 40 * task + 40))
    assert len({tuple(own - 40 * task) for task, passes in enumerate(numbers) for own in passes[1:]}) == 6
    np.testing.assert_array_equal(setup.batch_numbers(0, range(7, 20)), numbers.reshape(36, 10)[7:20])


def test_packnet_refuses_tasks_that_are_not_known(skills: Callable[..., Experiment]) -> None:
    with pytest.raises(ConfigError, match=r"algo: PackNet predicts every task with weights of its own.*data\.scenario=task"):
        skills("packnet", "data.scenario=domain")


def test_the_recorded_predictions_are_those_that_were_scored(online: Callable[..., Experiment]) -> None:
    built = online("er", "seeds=[0,1]", "gpu.precision=float64")
    assert run(built) == 0
    matrix = np.load(built.directory / "accuracy_matrix.npy")
    read = json.loads((built.directory / "predictions.json").read_text())
    samples = len(built.protocol.load(built.data, [0]).test(0, None)[0].y)
    wrong = np.sum([pair["samples"] for pair in read["confused"]], axis=0)
    np.testing.assert_allclose(1 - wrong / np.sum(read["tested"], axis=0), matrix[:, -1].mean(-1))
    for task, own in enumerate(read["tasks"]):
        np.testing.assert_allclose(np.array(own["right"]) / samples, matrix[:, task + 1, task])
        lost = np.array(own["right"]) / samples - matrix[:, -1, task]  # forgotten, less what was learned since
        assert (np.array(own["forgotten"]) / samples >= lost - 1e-9).all()
    assert np.sum([own["forgotten"] for own in read["tasks"][:-1]]) > 0
    assert read["tasks"][-1]["forgotten"] == [0, 0]


@pytest.mark.parametrize("algo", variants_are_slow(STREAM_LEARNERS))
def test_a_replicate_is_its_single_run(algo: str, online: Callable[..., Experiment]) -> None:
    both = online(algo, "seeds=[3,5]", "gpu.precision=float64")
    assert run(both) == 0
    state, matrix, _, _ = final(both)
    assert not np.array_equal(matrix[0], matrix[1])
    for replicate, seed in enumerate((3, 5)):
        alone = online(algo, f"seeds=[{seed}]", "gpu.precision=float64")
        assert run(alone) == 0
        own, own_matrix, _, _ = final(alone)
        mine = tree_map(lambda leaf: leaf[replicate], state)  # noqa: B023
        for expected, found in zip(tree_leaves(own), tree_leaves(mine), strict=True):
            torch.testing.assert_close(found, expected[0], rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(matrix[replicate], own_matrix[0])


def test_leaving_out_the_empty_draws_of_tasks_to_come_changes_nothing(
    online: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    states, draws = [], []
    observe = Gem.observe

    def watched(self: Gem, network: Any, state: Any, observed: Any) -> Any:
        draws[-1].add(len(observed.weight))
        return observe(self, network, state, observed)

    monkeypatch.setattr(Gem, "observe", watched)
    for left_out in (True, False):
        draws.append(set())
        if not left_out:
            made = Observations.__init__

            def with_empty_draws(self: Observations, setup: Any, made: Any = made) -> None:
                made(self, setup)
                self._skips_empty_draws = False

            monkeypatch.setattr(Observations, "__init__", with_empty_draws)
        built = online("gem", "algo.margin=0.3", "gpu.precision=float64")
        built = dataclasses.replace(built, output_dir=online("gem").output_dir / str(left_out))
        assert run(built) == 0
        states.append(final(built)[0])
    assert draws == [{1, 2}, {3}]
    for expected, found in zip(*map(tree_leaves, states), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("keep", ["balanced", "ring"])
def test_a_buffer_by_class_knows_the_labels_of_its_own_seed(
    keep: str, online: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metacl_run.protocols.online.setup.LABELS_AT_ONCE", 7)
    built = online("er", f"algo.buffer={keep}", "algo.memory=30", "algo.replay=30", "seeds=[0,1]")
    setup = StreamSetup.of(context_of(built), 1)
    last = Observations(setup).block(range(11, 12))
    first, second = setup.labels(0), setup.labels(1)
    assert (first != second).any()
    for replicate, labels in enumerate((first, second)):
        np.testing.assert_array_equal(labels, setup.gather(replicate, np.arange(120)).y.numpy())
        replayed, weight = last.replay.y[0, replicate, 0], last.weight[0, replicate, 0]
        sizes = np.bincount(replayed[weight > 0].numpy(), minlength=10)
        assert sizes.min() >= 2  # of each of ten classes about three, where a reservoir has none or six now and then
        assert sizes.max() <= 4


def test_the_engines_give_the_same_answer(online: Callable[..., Experiment]) -> None:
    states = []
    for engine in ("loop", "vmap"):
        changes = "algo.inner_batch=2", "seeds=[0,1]", "gpu.precision=float64"  # not what is compiled
        built = online("la_maml", *changes, f"gpu.engine={engine}")
        assert run(built) == 0
        states.append(final(built)[0])
    for a, b in zip(*(tree_leaves(state) for state in states), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_learning_shows_and_replay_forgets_less(online: Callable[..., Experiment]) -> None:
    sizes = ["data.train_per_task=300", "data.test_per_task=200", "data.train_hands=40", "data.test_hands=20"]
    sizes += ["data.image_size=14", "model.hidden=[60]", "data.num_tasks=5"]
    found = {}
    for algo in ("sgd", "er", "joint"):
        built = online(algo, "algo.lr=0.1", f"algo.updates={5 if algo == 'joint' else 1}", *sizes)
        assert run(built) == 0
        found[algo] = final(built)[2]
    assert found["sgd"]["learning_accuracy"]["mean"] > 0.4  # chance is .1
    assert found["er"]["forgetting"]["mean"] < found["sgd"]["forgetting"]["mean"] - 0.08
    assert found["joint"]["accuracy"]["mean"] > found["er"]["accuracy"]["mean"] + 0.05


def test_probes_see_every_task_and_their_time_is_counted(online: Callable[..., Experiment]) -> None:
    built = online("er", "protocol.eval_every=1", "protocol.probe_samples=20")
    assert run(built) == 0
    _, matrix, metrics, lines = final(built)
    probes = [line for line in lines if line["kind"] == "eval" and line["row"] is None]
    assert len(probes) == 3 * (4 - 1)
    lowest = []
    for task in range(2):
        after = [line for line in lines if line["kind"] == "eval" and line["unit"] > 4 * (task + 1)]
        lowest.append(min(line.get("probe", line["accuracy"])[0][task] for line in after))  # all on the same samples
    assert metrics["min_accuracy"]["mean"] == pytest.approx(np.mean(lowest))
    worst = matrix[0, 3, 2] / 3 + (1 - 1 / 3) * np.mean(lowest)
    assert metrics["worst_case_accuracy"]["mean"] == pytest.approx(worst)
    timing = json.loads((built.directory / "summary.json").read_text())["timing"]
    assert 0 < timing["evaluate_s"] < timing["wall_s"]


def test_samples_that_fill_no_batch_are_left_out(online: Callable[..., Experiment]) -> None:
    built = online("er", "data.train_per_task=47")
    assert run(built) == 0
    assert json.loads((built.directory / "summary.json").read_text())["timing"]["units"] == 3 * 4


MISTAKES = [
    *(
        (algo, f"algo.{setting}=48", rf"^algo\.{setting}=48: \w+ reads 48 samples of a task again when it ends; data gives 40")
        for algo, setting in {"ewc": "fisher_samples", "mas": "importance_samples", "icarl": "herding_samples"}.items()
    ),
    ("er", "algo.memory=5", r"algo\.replay=10: must be at most memory=5, which it is drawn from"),
    ("er", "algo.memory=0", r"algo\.replay=10: must be at most memory=0"),
    ("er", "algo.source=seen algo.replay=0", r"algo\.memory=200: must be 0 with source=seen, which needs none"),
    ("mer", "algo.batch_size=2", r"algo\.batch_size=2: must be 1: MER learns from one new sample at a time"),
    ("mer", "algo.memory=5", r"algo\.replay=10: must be at most memory=5, which it is drawn from"),
    ("la_maml", "algo.inner_batch=3", r"algo\.inner_batch=3: must be 1 to batch_size=10, and divide it"),
    ("la_maml", "algo.rate_lr=null", r"algo\.outer_lr=null: must be a number with rate_lr=null"),
    ("c_maml", "algo.inner_rates=signed", r"algo\.inner_rates=signed: must be positive with rate_lr=null"),
    ("la_maml", "algo.batch_size=100", r"algo\.batch_size=100: must be at most the 40 training samples of a task"),
    ("er", "data.num_tasks=0", r"data\.num_tasks=0: must be at least 1"),
    ("er", "data.train_per_task=100", r"data\.train_per_task=100: must be at most the 80 train examples of the source"),
    (
        "er",
        "data.shift=rotat",
        r"data\.shift=rotat: must be one of none, rotate, permute, invert, background\. Did you mean rotate\?",
    ),
    ("er", "model=mlp model.hidden=[4]", r"model: Mlp has batch norm, which knows no statistics but"),
    (
        "a_gem",
        "algo.memories_per_task=50 algo.replay=10",
        r"algo: AGem keeps 50 samples of each task, but a task has 40 to keep",
    ),
    ("er", "protocol.probe_samples=0", r"protocol\.probe_samples=0: must be at least 1, or null$"),
]


@pytest.mark.parametrize(("algo", "mistake", "message"), MISTAKES)
def test_mistakes_are_one_message(algo: str, mistake: str, message: str, experiment: Callable[..., Experiment]) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        experiment(f"algo={algo}", *mistake.split(), tiny=SMALL_STREAM)
    assert "\n" not in str(caught.value)


def test_an_algorithm_that_does_not_fit_the_stream_is_told_what_does(experiment: Callable[..., Experiment]) -> None:
    with pytest.raises(
        ConfigError, match=r"data=rotated_mnist: does not fit protocol=continual_meta.*Works with: .*split_glyphs"
    ):
        experiment("algo=maml", "data=rotated_mnist", tiny=[])
    with pytest.raises(ConfigError, match=r"algo=er: does not fit protocol=continual_meta.*Works with: .*maml"):
        experiment("algo=er", "protocol=continual_meta", "data=split_glyphs", tiny=[])


def test_settings_of_another_protocol_are_refused_and_are_no_part_of_the_run(experiment: Callable[..., Experiment]) -> None:
    with pytest.raises(
        ConfigError,
        match=r"^data\.ways=7: has no effect under protocol=online; it is a setting of continual_meta\ndata\.shots=2: has",
    ):
        experiment("algo=er", "data=split_glyphs", "data.ways=7", "data.shots=2", tiny=[])
    with pytest.raises(ConfigError, match=r"^data\.test_examples=3: has no effect under protocol=continual_meta"):
        experiment("algo=maml", "data=split_glyphs", "data.test_examples=3", tiny=[])
    settings = set(experiment("algo=er", "data=split_glyphs", tiny=[]).resolved["data"])
    assert {"test_examples", "scenario"} <= settings
    assert not {"ways", "streams", "meta_test_classes"} & settings


def test_missing_mnist_is_one_message(experiment: Callable[..., Experiment], tmp_path: Any) -> None:
    built = experiment("algo=er", "data=rotated_mnist", f"data.root={tmp_path}", "data.download=false", tiny=[])
    with pytest.raises(DataError, match=r"MNIST was not found.*Looked for:"):
        run(built)

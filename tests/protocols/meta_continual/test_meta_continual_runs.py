"""Whole runs of protocol `meta_continual`: against the slow loop, killed and continued, replicate and single run, refusals."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.utils._pytree import tree_leaves, tree_map

import metacl_run
from metacl_run.config.load import Experiment
from metacl_run.config.options import options_that_are
from metacl_run.core.errors import ConfigError
from metacl_run.core.randomness import Purpose, generator
from metacl_run.experiment import run
from metacl_run.models.network import Network, initial_params
from tests.support.runs import stop_after
from tests.support.settings import FUNCTION_LEARNERS, FUNCTIONS, SEQUENCE_LEARNERS, SMALL_SEQUENCES
from tests.support.variants import variants_are_slow


@pytest.fixture(autouse=True)
def _nothing_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures and report are tested elsewhere and would take most of the time here."""
    monkeypatch.setattr("metacl_run.reporting.figures.draw", lambda _: [])
    monkeypatch.setattr("metacl_run.reporting.report.write", lambda _: None)


def classifiers() -> list[str]:
    from metacl_run.algorithms.meta_continual.trajectory_learner import TrajectoryLearner

    return [name for name in options_that_are("algo", TrajectoryLearner) if name not in FUNCTION_LEARNERS]


ALGORITHMS = classifiers()


@pytest.fixture
def sequences(experiment: Callable[..., Experiment]) -> Callable[..., Experiment]:
    def build(algo: str, *overrides: str) -> Experiment:
        if algo in FUNCTION_LEARNERS:
            return experiment(f"algo={algo}", *overrides, tiny=FUNCTIONS)
        return experiment(f"algo={algo}", *SEQUENCE_LEARNERS[algo], *overrides, tiny=SMALL_SEQUENCES)

    return build


def final(built: Experiment) -> tuple[Any, np.ndarray, dict[str, Any], list[Any]]:
    """State, matrix, summary and records, without times."""
    content = torch.load(built.directory / "checkpoint.pt", weights_only=True)["content"]
    summary = json.loads((built.directory / "summary.json").read_text())
    assert summary["status"] == "completed"
    lines = [json.loads(line) for line in (built.directory / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        del line["wall_s"]
    kept = {key: summary[key] for key in ("metrics", "meta_test")}
    return content["learner"], np.load(built.directory / "accuracy_matrix.npy"), kept, lines


def network_of(built: Experiment) -> Network:
    """The network of a run before any learning, in float64."""
    outputs = built.protocol.count_outputs(built.data)
    size = built.algo.num_outputs(outputs)
    module, _ = initial_params(built.model, built.data.input_shape, size, 0, torch.float64)
    return Network(module, outputs, objective=built.data.objective)


def test_every_algorithm_of_the_issue_is_there() -> None:
    assert set(ALGORITHMS) == set(SEQUENCE_LEARNERS)


# ------------------------------------------------------------------------------------------------------- right answers


@pytest.mark.parametrize("algo", ["oml", "anml", "scratch"])
@pytest.mark.parametrize("selection", ["train", "test"])
def test_meta_test_equals_the_slow_loop(algo: str, selection: str, sequences: Callable[..., Experiment]) -> None:
    """One order and one rate after another, the whole network, torch.optim: the same scores, concept by concept."""
    built = sequences(algo, "gpu.precision=float64", f"protocol.lr_selection={selection}", "protocol.joint_epochs=2")
    assert run(built) == 0
    state, matrix, summary, _ = final(built)
    found, pool, schedule = summary["meta_test"], built.data.load([0]), [2, 5]
    network = network_of(built)
    params = tree_map(lambda leaf: leaf[0], state["meta"]["params"])
    plastic = {"oml": ["head"], "anml": ["head"], "scratch": ["body", "head"]}[algo]

    def learned(half: str, order: int, rate: float, length: int, samples: Any = None) -> tuple[np.ndarray, np.ndarray]:
        rng = generator(Purpose.SEQUENCE, 0, int(half == "meta_test"), order)
        concepts = rng.permutation(built.data.count_concepts(half))[:5]
        module = copy.deepcopy(network.module).double()
        module.load_state_dict(params)
        width = module.head.weight.shape[1]  # type: ignore[union-attr]
        with torch.no_grad():
            drawn = torch.from_numpy(rng.standard_normal((network.ways, width)))
            module.head.weight.copy_(drawn * (2 / width) ** 0.5)  # type: ignore[union-attr]
            module.head.bias.zero_()  # type: ignore[union-attr]
        moving = [value for name, value in module.named_parameters() if name.split(".")[0] in plastic]
        optimizer = torch.optim.SGD(moving, lr=rate)
        for number in range(4 * length) if samples is None else samples:
            place, example = divmod(int(number), 4)
            x, _ = pool.gather(half, concepts[[place]], np.array([example]), np.array([0]))
            optimizer.zero_grad()
            cross_entropy(module(x.double()), torch.tensor([place])).backward()
            optimizer.step()
        scores = np.zeros((5, 6))
        for place in range(5):
            for example in range(6):
                x, _ = pool.gather(half, concepts[[place]], np.array([example]), np.array([0]))
                scores[place, example] = int(module(x.double()).argmax(1)) == place
        return scores[:, 4:].mean(1), scores[:, :4].mean(1)

    half, orders = ("meta_train", 2) if selection == "train" else ("meta_test", 3)
    for s, length in enumerate(schedule):
        means = [
            np.mean([learned(half, order, rate, length)[0][:length].mean() for order in range(orders)]) for rate in (0.1, 0.01)
        ]
        np.testing.assert_allclose(found["selection"][0][s], means, atol=1e-12)
        chosen = (0.1, 0.01)[int(np.argmax(means))]
        assert found["chosen"][0][s] == chosen
        held_out, memory = zip(*(learned("meta_test", order, chosen, length) for order in range(3)), strict=True)
        np.testing.assert_allclose(found["accuracy"][0][s], [each[:length].mean() for each in held_out], atol=1e-12)
        np.testing.assert_allclose(found["memory"][0][s], [each[:length].mean() for each in memory], atol=1e-12)
        row = np.mean(held_out, axis=0)
        along = [learned("meta_test", order, found["rate_of_matrix"][0], length)[0] for order in range(3)]
        same = np.mean(along, axis=0)
        np.testing.assert_allclose(matrix[0, s + 1], [same[:2].mean(), same[2:].mean()], atol=1e-12)
        joint = []
        for order in range(3):
            rng = generator(Purpose.SHUFFLE, 0, order, length)
            samples = np.concatenate([rng.permutation(4 * length) for _ in range(2)])
            joint.append(learned("meta_test", order, chosen, length, samples)[0][:length].mean())
        np.testing.assert_allclose(found["joint"][0][s], joint, atol=1e-12)
    np.testing.assert_allclose(found["by_place"]["accuracy"][0], row, atol=1e-12)
    assert found["rate_of_matrix"][0] == found["chosen"][0][-1]
    assert found["tuned_on"] == selection
    np.testing.assert_allclose(summary["metrics"]["accuracy"]["mean"], np.mean(found["accuracy"][0][1]), atol=1e-12)


@pytest.mark.parametrize("algo", variants_are_slow(ALGORITHMS))
def test_a_replicate_is_its_single_run(algo: str, sequences: Callable[..., Experiment]) -> None:
    both = sequences(algo, "seeds=[3,5]", "gpu.precision=float64")
    assert run(both) == 0
    state, matrix, summary, _ = final(both)
    assert not np.array_equal(matrix[0], matrix[1])
    for replicate, seed in enumerate((3, 5)):
        alone = sequences(algo, f"seeds=[{seed}]", "gpu.precision=float64")
        assert run(alone) == 0
        own, own_matrix, own_summary, _ = final(alone)
        mine = tree_map(lambda leaf: leaf[replicate], state)  # noqa: B023
        for expected, found in zip(tree_leaves(own), tree_leaves(mine), strict=True):
            torch.testing.assert_close(found, expected[0], rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(matrix[replicate], own_matrix[0])
        assert summary["meta_test"]["chosen"] is None or (
            summary["meta_test"]["chosen"][replicate] == own_summary["meta_test"]["chosen"][0]
        )


@pytest.mark.parametrize("algo", ["oml", "anml", "gemcl"])
def test_the_engines_give_the_same_answer(algo: str, sequences: Callable[..., Experiment]) -> None:
    results = []
    for engine in ("loop", "vmap"):
        built = sequences(algo, "seeds=[0,1]", "gpu.precision=float64", f"gpu.engine={engine}", "algo.meta_batch_size=2")
        assert run(built) == 0
        results.append(final(built))
    for a, b in zip(*(tree_leaves(state) for state, *_ in results), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
    np.testing.assert_array_equal(results[0][1], results[1][1])


def test_how_many_orders_are_learned_at_once_changes_nothing(sequences: Callable[..., Experiment]) -> None:
    matrices = []
    for memory in (8, 1e-6):
        built = sequences("oml", "gpu.precision=float64", f"gpu.memory_gb={memory}")
        assert run(built) == 0
        matrices.append(final(built)[1])
    np.testing.assert_array_equal(*matrices)


def test_sequences_use_the_images_that_were_not_held_out(sequences: Callable[..., Experiment]) -> None:
    pool = sequences("oml").data.load([0])
    concepts, examples = np.array([0, 11]), np.array([5, 0])
    x, y = pool.gather("meta_test", concepts, examples, np.array([3, 4]))
    images = sequences("oml").data.source.read().x  # 30 classes of 6; the last 12 are for meta-test
    np.testing.assert_allclose(x[0].numpy(), images[18 * 6 + 5] / 255, atol=1e-7)
    np.testing.assert_allclose(x[1].numpy(), images[29 * 6] / 255, atol=1e-7)
    assert y.tolist() == [3, 4]


def test_functions_are_judged_by_their_error(experiment: Callable[..., Experiment]) -> None:
    own = ["algo.remember=0", "algo.redraw=false", "protocol.rates=[0.05]"]
    built = experiment("algo=oml", *own, tiny=FUNCTIONS)
    assert run(built) == 0
    state, matrix, summary, _ = final(built)
    assert json.loads((built.directory / "summary.json").read_text())["score"] == "mse"
    pool = built.data.load([0])
    network = network_of(built)
    params = tree_map(lambda leaf: leaf[0], state["meta"]["params"])
    errors = np.zeros((2, 4))
    for order in range(2):
        concepts = generator(Purpose.SEQUENCE, 0, 1, order).permutation(8)[:4]
        module = copy.deepcopy(network.module).double()
        module.load_state_dict(params)
        optimizer = torch.optim.SGD(module.head.parameters(), lr=0.05)  # type: ignore[union-attr]
        for place in range(4):
            for step in range(2):
                index = np.arange(4 * step, 4 * step + 4)
                x, y = pool.gather("meta_test", np.full(4, concepts[place]), index, np.full(4, place))
                optimizer.zero_grad()
                (module(x.double()) - y.double()).square().mean().backward()
                optimizer.step()
        for place in range(4):
            x, y = pool.gather("meta_test", np.full(5, concepts[place]), np.arange(8, 13), np.full(5, place))
            errors[order, place] = (module(x.double()) - y.double()).square().mean().item()
    np.testing.assert_allclose(summary["meta_test"]["mse"][0][1], errors.mean(1), rtol=1e-9)
    np.testing.assert_allclose(matrix[0, 2], [errors[:, :2].mean(), errors[:, 2:].mean()], rtol=1e-9)
    np.testing.assert_allclose(summary["metrics"]["mse"]["mean"], errors.mean(), rtol=1e-9)


def test_alpaca_learns_functions_in_closed_form(experiment: Callable[..., Experiment]) -> None:
    built = experiment("algo=alpaca", tiny=FUNCTIONS)
    assert run(built) == 0
    state, _, summary, _ = final(built)
    pool = built.data.load([0])
    network = network_of(built)
    meta = tree_map(lambda leaf: leaf[0], state["meta"])
    module = copy.deepcopy(network.module).double()
    module.load_state_dict(meta["params"])

    def features(x: torch.Tensor) -> np.ndarray:
        with torch.no_grad():
            return np.c_[module.body(x.double()).numpy(), np.ones(len(x))]  # type: ignore[operator]

    factor = meta["prior"]["factor"].numpy()
    start = np.c_[meta["params"]["head.weight"].numpy(), meta["params"]["head.bias"].numpy()].T
    for order in range(2):
        concepts = generator(Purpose.SEQUENCE, 0, 1, order).permutation(8)[:4]
        rows = [pool.gather("meta_test", np.full(13, concepts[p]), np.arange(13), np.full(13, p)) for p in range(4)]
        phi = np.concatenate([features(x[:8]) for x, _ in rows])
        target = np.concatenate([y[:8].double().numpy() for _, y in rows])
        prior = factor @ factor.T
        posterior = np.linalg.solve(prior + phi.T @ phi, phi.T @ target + prior @ start)
        errors = [((features(x[8:]) @ posterior - y[8:].double().numpy()) ** 2).mean() for x, y in rows]
        np.testing.assert_allclose(summary["meta_test"]["mse"][0][1][order], np.mean(errors), rtol=1e-7)


# ------------------------------------------------------------------------------------------------------- kill and go on


@pytest.mark.parametrize("algo", variants_are_slow([*ALGORITHMS, *FUNCTION_LEARNERS]))
def test_stopped_anywhere_it_ends_bit_for_bit_as_the_unbroken_run(algo: str, sequences: Callable[..., Experiment]) -> None:
    base = sequences(algo).output_dir
    common = "seeds=[0,1]", "protocol.joint_epochs=1"
    unbroken, broken = (sequences(algo, *common, f"output_dir={base / name}") for name in ("unbroken", "broken"))
    assert run(unbroken) == 0
    training = [] if algo == "scratch" else [1, 2, 3, 4]
    start = len(training)  # then two parts for choosing, where there is a choice, two of test, four of the upper bound
    for units in (*training[::2], start + 1, start + 2, start + 4):
        stop_after(broken, units)
    assert run(broken) == 0
    state, matrix, summary, lines = final(unbroken)
    again = final(broken)
    for expected, found in zip(tree_leaves(state), tree_leaves(again[0]), strict=True):
        assert torch.equal(expected, found)
    np.testing.assert_array_equal(matrix, again[1])
    assert (summary, lines) == again[2:]


# ------------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "protocol.schedule=[2,13]",
            r"^protocol\.schedule=\[2,13\]: needs 13 concepts .* the data have 12 for meta-test\. Use a shorter one",
        ),
        ("protocol.schedule=[5,5]", r"^protocol\.schedule=\[5, 5\]: must be numbers of concepts, each larger"),
        ("protocol.schedule=[]", r"^protocol\.schedule=\[\]: must have at least 1 entry"),
        ("protocol.rates=[0.1,0.1]", r"^protocol\.rates=\[0\.1, 0\.1\]: must all differ"),
        ("data.meta_test_classes=20", r"schedule=\[2,11\].*chosen on meta-train ones, of which there are 10"),
        ("algo.classes=19", r"^algo\.classes=19: must be at most the 18 meta-train concepts"),
        ("algo.class_steps=5", r"^algo\.class_steps=5: .* takes 7 examples of a concept, but each has 6$"),
        ("data.test_examples=6", r"^data\.test_examples=6: must be less than the 6 examples"),
        ("data.meta_test_classes=30", r"^data\.meta_test_classes=30.*: must leave at least one"),
        ("algo.plastic=[headd]", r"^algo\.plastic=\[headd\]: .* has no such group of parameters\. Groups: body, head$"),
        ("model=conv4_small", r"^model: Conv4 has batch norm"),
        ("insight=light", r"^insight=light: has no effect under protocol=meta_continual, whose report always shows"),
        ("data.ways=3", r"^data\.ways=3: has no effect under protocol=meta_continual; it is a setting of continual_meta$"),
    ],
)
def test_one_message_before_any_work(change: str, message: str, sequences: Callable[..., Experiment]) -> None:
    more = ["protocol.schedule=[2,11]"] if change == "data.meta_test_classes=20" else []
    more += ["model.channels=4"] if change.startswith("model=") else []
    with pytest.raises(ConfigError, match=message):
        sequences("oml", change, *more)


def test_on_complete_omniglot(real_data: Path, experiment: Callable[..., Experiment]) -> None:
    built = experiment("algo=oml", "data=split_omniglot", f"data.root={real_data}", tiny=[])
    assert built.data.count_concepts("meta_train") == 963
    assert built.data.count_concepts("meta_test") == 660
    assert built.data.count_examples() == (15, 5)


def test_on_complete_omniglot_it_learns(real_data: Path, experiment: Callable[..., Experiment]) -> None:
    shape = ["protocol.updates=150", "protocol.schedule=[5]", "protocol.orders=6", "protocol.rates=[0.03]", "model.channels=16"]
    common = [
        "data=split_omniglot",
        f"data.root={real_data}",
        "data.image_size=28",
        "algo.outer_lr=0.003",
        "gpu.threads=1",
        *shape,
    ]
    built = experiment("algo=oml", *common, tiny=[])
    assert run(built) == 0
    lines = [json.loads(line) for line in (built.directory / "metrics.jsonl").read_text().splitlines()]
    before = next(line["accuracy"][0] for line in lines if line["kind"] == "probe")
    after = final(built)[2]["metrics"]["accuracy"]["mean"]
    assert after > max(0.4, before + 0.1)  # chance is 0.2


@pytest.mark.parametrize("algo", ["oml", "gemcl"])
def test_a_run_on_validation_is_tested_with_the_head_that_it_has_learned(
    algo: str, sequences: Callable[..., Experiment]
) -> None:
    """Fewer concepts are left for its meta-training, so that a run on test has a wider head."""
    built = sequences(algo, "protocol.eval_split=validation")
    assert run(built) == 0
    change = ["protocol.eval_split=test"]
    again = metacl_run.evaluate(built.directory, change)
    assert again.status == "completed"
    assert np.isfinite(again.matrix[:, -1]).all()
    learner = metacl_run.load(built.directory).learner(overrides=change)
    shapes = {name: value.shape for name, value in metacl_run.load(built.directory).learner().module().state_dict().items()}
    assert {name: value.shape for name, value in learner.module().state_dict().items()} == shapes


def test_a_head_that_is_too_narrow_for_the_schedule_is_refused(sequences: Callable[..., Experiment]) -> None:
    built = sequences("oml", "protocol.eval_split=validation", "data.meta_test_classes=18")
    assert run(built) == 0
    with pytest.raises(ConfigError, match="does not fit these settings"):
        metacl_run.evaluate(built.directory, ["protocol.eval_split=test", "protocol.schedule=[2,12]"])

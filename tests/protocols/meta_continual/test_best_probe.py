"""`protocol.keep=best` under `meta_continual`: what validation is, what is tested, kill and continue, evaluation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_leaves

import metacl_run as mr
from metacl_run.config.load import Experiment
from metacl_run.core.errors import ConfigError
from metacl_run.experiment import run
from metacl_run.protocols.meta_continual.sequence_runner import SequenceRunner
from tests.support.runs import parameters, records, stop_after
from tests.support.settings import FUNCTIONS, SEQUENCE_LEARNERS, SMALL_SEQUENCES

BEST = "protocol.keep=best"


@pytest.fixture(autouse=True)
def _nothing_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metacl_run.reporting.figures.draw", lambda _: [])
    monkeypatch.setattr("metacl_run.reporting.report.write", lambda _: None)


@pytest.fixture
def sequences(experiment: Callable[..., Experiment]) -> Callable[..., Experiment]:
    """18 meta-train concepts, of which `keep=best` holds out 3."""

    def build(algo: str, *overrides: str) -> Experiment:
        more = ["data.num_classes=30", "data.meta_test_classes=12", "gpu.precision=float64", *overrides]
        return experiment(f"algo={algo}", *SEQUENCE_LEARNERS[algo], *more, tiny=SMALL_SEQUENCES)

    return build


def summary_of(built: Experiment) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((built.directory / "summary.json").read_text())
    assert summary["status"] == "completed"
    return summary


def probes_of(built: Experiment, score: str = "accuracy") -> tuple[list[int], np.ndarray]:
    """Units, and scores [P, R]."""
    probes = [record for record in records(built.directory) if record["kind"] == "probe"]
    return [probe["unit"] for probe in probes], np.array([probe[score] for probe in probes])


def test_what_is_tested_is_the_state_of_the_best_probe_of_every_seed(sequences: Callable[..., Experiment]) -> None:
    """The same as a run that ends there: its parameters, and its whole meta-test."""
    own = "protocol.updates=6", "protocol.eval_every=1", "algo.outer_lr=0.1"
    built = sequences("oml", BEST, "seeds=[0,1,2]", *own)
    assert run(built) == 0
    units, scores = probes_of(built)
    assert units == list(range(7))
    best = scores.argmax(0).tolist()  # the first of equals
    summary = summary_of(built)
    assert summary["kept"] == {"unit": [[unit] for unit in best], "score": [[score] for score in scores.max(0)]}
    assert len(set(best)) > 1
    assert best != [6, 6, 6]
    for replicate, updates in enumerate(best):
        short = sequences("oml", BEST, f"seeds=[{replicate}]", *own[1:], f"protocol.updates={max(updates, 1)}")
        if updates == 0:
            continue  # a run of one update has two probes
        assert run(short) == 0
        short_params = torch.load(short.directory / "checkpoint.pt", weights_only=True)["content"]["learner"]["meta"]
        params = torch.load(built.directory / "checkpoint.pt", weights_only=True)["content"]["learner"]["meta"]
        for mine, expected in zip(tree_leaves(params), tree_leaves(short_params), strict=True):
            torch.testing.assert_close(mine[replicate], expected[0], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(
            np.load(built.directory / "accuracy_matrix.npy")[replicate], np.load(short.directory / "accuracy_matrix.npy")[0]
        )


def test_probes_learn_concepts_that_nothing_else_touches(
    sequences: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By numbers of the source's concepts: those of probes apart from all others, with validation in place of test too."""
    for split in ("test", "validation"):
        built = sequences("oml", BEST, f"protocol.eval_split={split}", "protocol.schedule=[2,3]", "data.meta_test_classes=12")
        used: dict[str, set[tuple[str, int]]] = {"probe": set(), "other": set()}
        inner = type(built.data.load([0]))
        gather, stage = inner.gather, ["other"]

        def recorded(self: Any, half: str, concepts: np.ndarray, *rest: Any) -> Any:
            used[stage[0]] |= {(half, int(number)) for number in np.asarray(concepts).flatten()}  # noqa: B023
            return gather(self, half, concepts, *rest)  # noqa: B023

        from metacl_run.protocols.meta_continual.probe_evaluator import ProbeEvaluator

        evaluate = ProbeEvaluator.evaluate

        def probed(self: Any) -> None:
            stage[0] = "probe"  # noqa: B023
            evaluate(self)  # noqa: B023
            stage[0] = "other"  # noqa: B023

        with monkeypatch.context() as patch:
            patch.setattr(inner, "gather", recorded)
            patch.setattr(ProbeEvaluator, "evaluate", probed)
            assert run(built) == 0
        assert used["probe"]
        assert {half for half, _ in used["probe"]} == {"meta_train"}
        assert not used["probe"] & used["other"]
        assert ("meta_test" in {half for half, _ in used["other"]}) == (split == "test")


@pytest.mark.parametrize("algo", ["oml", "gemcl"])
def test_stopped_anywhere_it_ends_bit_for_bit_as_the_unbroken_run(algo: str, sequences: Callable[..., Experiment]) -> None:
    base = sequences(algo).output_dir
    common = BEST, "seeds=[0,1]", "protocol.eval_every=1", "algo.outer_lr=0.1"
    unbroken, broken = (sequences(algo, *common, f"output_dir={base / name}") for name in ("unbroken", "broken"))
    assert run(unbroken) == 0
    for units in (1, 2, 4, 5):
        stop_after(broken, units)
    assert run(broken) == 0
    for expected, found in zip(parameters(unbroken.directory), parameters(broken.directory), strict=True):
        assert torch.equal(expected, found)
    assert records(unbroken.directory) == records(broken.directory)
    names = ("metrics", "meta_test", "kept")
    assert [summary_of(unbroken)[name] for name in names] == [summary_of(broken)[name] for name in names]


def test_probes_keep_to_the_memory_that_the_run_was_begun_with(
    sequences: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They learn one order at a time, also after the run goes on with more memory, and find the same."""
    base, learn, probed = sequences("oml").output_dir, SequenceRunner.learn, []

    def recorded(self: Any, sequences: Any, orders: range, rates: Any, points: Any) -> Any:
        if len(rates) == 1 and list(points) == [2]:  # schedule[0]
            probed.append(len(orders))
        return learn(self, sequences, orders, rates, points)

    monkeypatch.setattr(SequenceRunner, "learn", recorded)
    little, much = (sequences("oml", f"output_dir={base / size}", f"gpu.memory_gb={size}") for size in ("1e-6", "8"))
    stop_after(little, 3)
    with monkeypatch.context() as patch:
        patch.setattr(SequenceRunner, "orders_at_once", lambda *_: 99)
        assert run(little) == 0
    assert probed == [1] * 9  # three probes of three orders
    assert run(much) == 0
    assert probed[9:] == [3] * 3
    np.testing.assert_allclose(probes_of(little)[1], probes_of(much)[1], rtol=1e-12)


def test_functions_are_kept_where_their_error_is_least(experiment: Callable[..., Experiment]) -> None:
    own = ["algo.remember=0", "algo.redraw=false", "protocol.rates=[0.05]", "protocol.eval_every=1", "algo.outer_lr=0.5"]
    built = experiment("algo=oml", *own, BEST, "seeds=[0,1,2]", tiny=FUNCTIONS)
    assert run(built) == 0
    units, errors = probes_of(built, "mse")
    assert [unit for (unit,) in summary_of(built)["kept"]["unit"]] == [units[place] for place in errors.argmin(0)]


def test_an_evaluation_tests_the_state_that_was_kept(sequences: Callable[..., Experiment]) -> None:
    built = sequences("oml", BEST, "seeds=[0,1]", "protocol.eval_every=1", "algo.outer_lr=0.1")
    assert run(built) == 0
    again = mr.evaluate(built.directory)
    assert again.summary["meta_test"] == summary_of(built)["meta_test"]
    assert mr.evaluate(built.directory, ["protocol.schedule=[2,10]"]).status == "completed"
    learner = mr.load(built.directory).learner(seed=1)
    stored = torch.load(built.directory / "checkpoint.pt", weights_only=True)["content"]["learner"]["meta"]["params"]
    for name, value in learner.module().state_dict().items():
        torch.testing.assert_close(value, stored[name][1].to(value.dtype))


def test_a_learner_that_trains_nothing_is_as_it_was(sequences: Callable[..., Experiment]) -> None:
    """Nothing is held out for probes that there are not."""
    built, last = sequences("scratch", BEST), sequences("scratch")
    assert run(built) == run(last) == 0
    assert "kept" not in summary_of(built)
    assert summary_of(built)["meta_test"] == summary_of(last)["meta_test"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("protocol.eval_every=0", r"^protocol\.keep='?best'?: must be last with eval_every=0"),
        ("protocol.updates=0", r"^protocol\.keep='?best'?: must be last with updates=0"),
        (
            "data.meta_test_classes=21",
            r"^protocol\.keep=best: one of 5 meta-train concepts is held out .* the data have 9: at least",
        ),
        ("protocol.schedule=[2,16]", r"chosen on meta-train ones, of which there are 15, 3 others being held out"),
        ("algo.classes=16", r"^algo\.classes=16: must be at most the 15 meta-train concepts"),
        ("protocol.keep=first", r"^protocol\.keep='?first'?: must be one of"),
    ],
)
def test_one_message_before_any_work(change: str, message: str, sequences: Callable[..., Experiment]) -> None:
    more = ["data.num_classes=40", "data.meta_test_classes=22"] if "schedule" in change else []
    with pytest.raises(ConfigError, match=message):
        sequences("oml", BEST, *more, change)


def test_a_checkpoint_whose_best_state_is_another_learners_is_refused(
    sequences: Callable[..., Experiment], tmp_path: Path
) -> None:
    from metacl_run.protocols.best_state import BestState
    from metacl_run.protocols.score_history import ScoreHistory
    from metacl_run.protocols.train_state import TrainState

    learner = {"w": torch.zeros(2, 3)}
    state = TrainState(learner=learner, scores=ScoreHistory.empty(2, 1))
    state.best = BestState.better_of(None, learner, torch.tensor([0.1, 0.2]), 1, higher=True)
    content = state.content()
    state.check(content)
    content["best"]["learner"] = {"w": torch.zeros(2, 4)}
    with pytest.raises(ValueError, match="best"):
        state.check(content)

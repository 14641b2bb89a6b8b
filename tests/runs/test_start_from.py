"""`start_from=<run directory>`: whose weights, which seeds, the run id, what is refused, all three protocols."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import metacl_run as mr
from metacl_run.config.load import Experiment
from metacl_run.core.errors import ConfigError
from metacl_run.experiment import run
from tests.support.runs import assert_same_run, stop_after
from tests.support.settings import SEQUENCE_LEARNERS, SMALL_SEQUENCES, SMALL_STREAM
from tests.support.small_runs import RECURRING


@pytest.fixture(autouse=True)
def _nothing_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metacl_run.reporting.figures.draw", lambda _: [])
    monkeypatch.setattr("metacl_run.reporting.report.write", lambda _: None)


@pytest.fixture
def sequences(experiment: Callable[..., Experiment]) -> Callable[..., Experiment]:
    def build(algo: str, *overrides: str) -> Experiment:
        return experiment(f"algo={algo}", *SEQUENCE_LEARNERS[algo], *overrides, tiny=SMALL_SEQUENCES)

    return build


@pytest.fixture
def trained(sequences: Callable[..., Experiment]) -> Path:
    """A run of `oml` with the seeds 3 and 5."""
    built = sequences("oml", "seeds=[3,5]", "gpu.precision=float64")
    assert run(built) == 0
    return built.directory


def learned(directory: Path) -> Any:
    return torch.load(directory / "checkpoint.pt", weights_only=True)["content"]["learner"]


def summary_of(built: Experiment) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((built.directory / "summary.json").read_text())
    return summary


def test_its_representation_is_tested_as_it_was(trained: Path, sequences: Callable[..., Experiment]) -> None:
    """A learner that trains nothing, with the seeds in another order and one of them, has the meta-test of the run itself."""
    own = "algo.test_plastic=[head]", "gpu.precision=float64", f"start_from={trained}"
    expected = json.loads((trained / "summary.json").read_text())["meta_test"]
    for seeds in ([5, 3], [5]):
        built = sequences("scratch", *own, f"seeds={seeds}")
        assert run(built) == 0
        tested = summary_of(built)
        for place, seed in enumerate(seeds):
            assert tested["meta_test"]["accuracy"][place] == expected["accuracy"][[3, 5].index(seed)]
        assert tested["start_from"] == {
            "run_id": trained.name,
            "algo": "oml",
            "data": "split_glyphs",
            "directory": str(trained),
        }
        assert all("has no effect with algo=scratch" in warning for warning in tested["warnings"])


def test_learning_goes_on_from_its_weights_and_not_from_its_optimiser(
    trained: Path, sequences: Callable[..., Experiment]
) -> None:
    built = sequences("pretrain", "seeds=[3,5]", "gpu.precision=float64", f"start_from={trained}", "protocol.updates=0")
    assert run(built) == 0
    for name, value in learned(built.directory)["meta"]["params"].items():
        assert torch.equal(value, learned(trained)["meta"]["params"][name])
    assert not any(moment.any() for moment in torch.utils._pytree.tree_leaves(learned(built.directory)["optimizer"]))
    longer = sequences("pretrain", "seeds=[3,5]", "gpu.precision=float64", f"start_from={trained}")
    assert run(longer) == 0
    assert longer.run_id != built.run_id


def test_the_id_follows_from_the_other_run_not_from_where_it_lies(
    trained: Path, sequences: Callable[..., Experiment], tmp_path: Path
) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(trained, copy)
    ids = [sequences("gemcl", "seeds=[3]", "model=oml_small", f"start_from={place}").run_id for place in (trained, copy)]
    assert ids[0] == ids[1]
    assert ids[0] != sequences("gemcl", "seeds=[3]", "model=oml_small").run_id
    other = sequences("oml", "seeds=[3]", "algo.outer_lr=0.002")
    assert run(other) == 0
    assert ids[0] != sequences("gemcl", "seeds=[3]", "model=oml_small", f"start_from={other.directory}").run_id


def test_stopped_it_ends_as_the_unbroken_run_and_is_evaluated_without_the_other(
    trained: Path, sequences: Callable[..., Experiment]
) -> None:
    base = sequences("oml").output_dir
    common = "model=oml_small", "seeds=[3,5]", f"start_from={trained}"
    unbroken, broken = (sequences("gemcl", *common, f"output_dir={base / name}") for name in ("unbroken", "broken"))
    assert run(unbroken) == 0
    for units in (1, 3, 5):
        stop_after(broken, units)
    assert run(broken) == 0
    assert_same_run(unbroken.directory, broken.directory)
    shutil.rmtree(trained)
    again = mr.evaluate(unbroken.directory, ["protocol.orders=2"])
    assert again.status == "completed"
    assert mr.load(unbroken.directory).learner(seed=5).seed == 5


def test_few_shot_and_back(experiment: Callable[..., Experiment]) -> None:
    """A network without a head is taken over by one with a head, and the other way; other data settings are said."""
    shape = "seeds=[0]", "model=conv4_image_small", "model.channels=4"
    few_shot = experiment("algo=protonet", *shape)
    assert run(few_shot) == 0
    maml = experiment("algo=maml", *shape, f"start_from={few_shot.directory}")
    assert maml.warnings == []
    assert run(maml) == 0
    sequences = experiment(
        "algo=ncm_cl",
        "model.channels=4",
        *SEQUENCE_LEARNERS["ncm_cl"][1:],
        f"start_from={maml.directory}",
        tiny=SMALL_SEQUENCES,
    )
    assert run(sequences) == 0
    own, other = (learned(built.directory)["meta"]["params"] for built in (sequences, maml))
    assert {name for name in other if name not in own} == {"head.weight", "head.bias"}
    assert all(torch.equal(value, other[name]) for name, value in own.items())
    assert "may have been learned there" in summary_of(sequences)["warnings"][0]


def test_a_stream_learner_starts_from_another(experiment: Callable[..., Experiment]) -> None:
    first = experiment("algo=er", tiny=SMALL_STREAM)
    assert run(first) == 0
    second = experiment("algo=sgd", f"start_from={first.directory}", tiny=SMALL_STREAM)
    assert run(second) == 0
    before = next(json.loads(line) for line in (second.directory / "metrics.jsonl").read_text().splitlines())
    last = [json.loads(line) for line in (first.directory / "metrics.jsonl").read_text().splitlines() if '"eval"' in line][-1]
    assert before["accuracy"] == last["accuracy"]


@pytest.mark.parametrize("algo", ["continual_maml", "bgd"])
def test_a_learner_of_a_recurring_stream_starts_from_what_another_learned(
    algo: str, experiment: Callable[..., Experiment]
) -> None:
    settings = [word for word in RECURRING[1:] if algo == "continual_maml" or not word.startswith("algo.")]
    first = experiment(f"algo={algo}", "seeds=[0]", *settings, tiny=[])
    assert run(first) == 0
    second = experiment("algo=sgd_osaka", "seeds=[0]", f"start_from={first.directory}", *_of_data(), tiny=[])
    state = learned(first.directory)["now"]
    end = state["mean"] if algo == "bgd" else state["slow"]["meta"]["params"]
    assert run(second) == 0
    beginning = learned(second.directory)["at_start"]["fast"]
    assert all(torch.equal(value, end[name]) for name, value in beginning.items())


def test_a_stream_learner_starts_from_the_initialisation_of_oml_er(experiment: Callable[..., Experiment]) -> None:
    first = experiment("algo=oml_er", "algo.memory=40", tiny=SMALL_STREAM)
    assert run(first) == 0
    second = experiment("algo=sgd", f"start_from={first.directory}", tiny=SMALL_STREAM)
    meta = learned(first.directory)["meta"]
    starting = second.starting_run
    assert starting is not None
    for place, seed in enumerate(first.seeds):
        assert all(torch.equal(value, meta[name][place]) for name, value in starting.learned[seed].items())


def _of_data() -> list[str]:
    return [word for word in RECURRING[1:] if not word.startswith("algo.")]


def test_what_it_refuses(trained: Path, sequences: Callable[..., Experiment], tmp_path: Path) -> None:
    def refused(message: str, *overrides: str, directory: Path = trained, algo: str = "oml") -> None:
        with pytest.raises(ConfigError, match=message):
            sequences(algo, f"start_from={directory}", *overrides)

    refused(r"^start_from=.*: there is no such folder$", directory=tmp_path / "none")
    refused(r"^start_from=.*: (is no run|holds no)", directory=tmp_path)
    refused(
        r"^start_from=.*: every seed starts from the same seed of that run, which has seeds=\[3, 5\] and lacks 4", "seeds=[3,4]"
    )
    shapes = (
        r"^start_from=.*: the networks differ: \S+ is \[4, 1, 3, 3\] there and \[6, 1, 3, 3\] here\. Every layer but the head"
    )
    refused(shapes, "seeds=[3]", "model.channels=6")
    refused(r"the networks differ: .* is missing", "seeds=[3]", algo="anml")
    with pytest.raises(ConfigError, match=r"^start_from=: must name a folder"):
        sequences("oml", "start_from=''")
    stopped = sequences("oml", "seeds=[7]")
    stop_after(stopped, 2)
    refused(r"^start_from=.*: the run is interrupted, and only a completed one", "seeds=[7]", directory=stopped.directory)
    (trained / "checkpoint.pt").write_bytes(b"no")
    refused(r"^start_from=.*is truncated or corrupted.*rerun=true", "seeds=[3]")

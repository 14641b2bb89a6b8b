"""What a card refuses during a run: one message, and what is left of the run."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from metacl_run.config.load import Experiment
from metacl_run.core.errors import CaptureError, CardTooSmallError, UserError
from metacl_run.experiment import run
from metacl_run.protocols.training import TrainingPhase
from metacl_run.storage.store import RunStore
from tests.support.settings import SEQUENCE_LEARNERS, SMALL_SEQUENCES, SMALL_STREAM, TINY

OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.\nSee the documentation")


def failing(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def step(self: TrainingPhase, unit: int) -> Any:
        raise error

    monkeypatch.setattr(TrainingPhase, "step", step)


@pytest.mark.parametrize(
    ("tiny", "remedy"),
    [
        (TINY, "A smaller gpu.chunk or gpu.memory_gb computes fewer episodes at once"),
        (
            ["algo=oml", *SMALL_SEQUENCES, *SEQUENCE_LEARNERS["oml"]],
            "A smaller gpu.chunk computes fewer trajectories of meta-training at once, a smaller gpu.memory_gb",
        ),
        (["algo=er", *SMALL_STREAM], "Fewer seeds, a smaller algo.batch_size or a smaller model needs less"),
    ],
    ids=["continual_meta", "meta_continual", "online"],
)
def test_out_of_memory_says_what_needs_less(
    tiny: Sequence[str], remedy: str, experiment: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    built = experiment(tiny=tiny)
    failing(OUT_OF_MEMORY, monkeypatch)
    with pytest.raises(UserError, match=rf"suffice \(CUDA out of memory. Tried to allocate 9 GiB.\). {remedy}") as refusal:
        run(built)
    assert ("this one has gpu.chunk=null and gpu.memory_gb=" in str(refusal.value)) == ("gpu." in remedy)
    assert json.loads((built.directory / "summary.json").read_text())["status"] == "failed"


def test_a_step_that_cannot_be_captured_names_the_algorithm_and_the_remedy(
    experiment: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    built = experiment("algo=reptile")
    failing(CaptureError("RuntimeError: not permitted (mine.py, line 3)"), monkeypatch)
    with pytest.raises(UserError, match=r"^algo=reptile: .* graph: RuntimeError: not permitted \(mine.py, line 3\). Use gpu"):
        run(built)
    assert "Traceback" in (built.directory / "run.log").read_text()


def test_a_run_that_is_refused_again_keeps_its_earlier_results(
    experiment: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    built = experiment()
    assert run(built) == 0

    def results() -> dict[str, bytes]:
        names = ("summary.json", "checkpoint.pt", "metrics.jsonl", "accuracy_matrix.npy", "config.yaml")
        return {name: (built.directory / name).read_bytes() for name in names}

    def refuse(*_: object) -> None:
        raise CardTooSmallError("too small")

    before = results()
    with monkeypatch.context() as patch:
        patch.setattr("metacl_run.protocols.continual_meta.protocol.chunked_engines", refuse)
        with pytest.raises(UserError, match="too small"):
            run(experiment("rerun=true"))
    assert results() == before
    assert not (built.directory / ".earlier").exists()
    with RunStore(built.directory) as killed:
        killed.set_aside()
        monkeypatch.setattr(killed._earlier, "take_back", lambda: None)
    assert not (built.directory / "summary.json").exists()
    assert run(built) == 0  # shows the run
    assert results() == before
    assert run(experiment("rerun=true")) == 0
    assert results()["summary.json"] != before["summary.json"]
    assert not (built.directory / ".earlier").exists()


def test_a_card_too_small_leaves_no_directory(experiment: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch) -> None:
    built = experiment()
    failing(CardTooSmallError("too small"), monkeypatch)
    with pytest.raises(UserError, match="too small"):
        run(built)
    assert not built.directory.exists()

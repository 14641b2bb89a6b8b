"""What a card refuses: the forecast of memory and cards that are too small, steps that cannot be captured; on a fake one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from metacl_run.core.errors import CaptureError, CardTooSmallError
from tests.device.fake_card import is_possible
from tests.device.fake_runs import FakeRun
from tests.device.test_whole_runs import FEW_SHOT

Run = Callable[..., FakeRun]

pytestmark = pytest.mark.skipif(not is_possible(), reason="needs g++")

LARGER = [*FEW_SHOT, "algo.meta_batch_size=8"]
"""A meta-batch large enough that its episodes are most of the memory."""


@pytest.mark.slow
def test_the_forecast_is_the_peak_of_the_allocator_and_graphs_share_the_budget(fake_run: Run) -> None:
    run = fake_run(LARGER, ["gpu.engine=vmap"])
    needed = run.forecast["train_mb"]
    assert run.forecast["train_chunk"] == 8
    assert needed == pytest.approx(run.peak_mb, rel=0.3)  # what waits for the garbage collector is beside it
    assert not run.warnings
    halved = fake_run(LARGER, [f"gpu.memory_gb={1.5 * needed / 1000}"])
    assert halved.forecast["train_chunk"] == 4


@pytest.mark.slow
def test_one_episode_beyond_the_budget_is_computed_all_the_same(fake_run: Run) -> None:
    run = fake_run(FEW_SHOT, ["gpu.memory_gb=0.0001"])
    assert run.status == "completed"
    assert run.forecast["train_chunk"] == 1
    assert run.warnings[0].startswith("gpu.memory_gb=0.0001: training on one episode needs ")


def test_a_step_that_cannot_be_captured_says_why(fake_run: Run) -> None:
    waiting = [*FEW_SHOT, "algo=maml", "algo._target_=tests.support.waiting_maml.WaitingMaml"]
    with pytest.raises(CaptureError, match=r"^NotCapturable: the host waits for the card"):
        fake_run(waiting)


@pytest.mark.parametrize(("engine", "instead"), [("vmap", "or use gpu=cpu"), ("cuda_graph", "or use gpu.engine=vmap")])
def test_one_episode_beyond_the_card_is_refused(engine: str, instead: str, fake_run: Run) -> None:
    message = rf"gpu.memory_gb=null: one episode at a time needs .* GB by the forecast, and the card has 0.0003 GB.*{instead}"
    with pytest.raises(CardTooSmallError, match=message):
        fake_run(FEW_SHOT, [f"gpu.engine={engine}"], 3 * 10**5)

"""Fixtures shared by all tests: float64 toy episodes, composed experiments, where real data lie."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch

from metacl_run.config.load import Experiment
from tests.support.composing import experiment_of
from tests.support.settings import TINY

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """Files of tests need not outlive a power cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets: METACL_DATA, or `shared/data` beside the checkout."""
    for folder in filter(None, [os.environ.get("METACL_DATA"), REPOSITORY.parent / "shared" / "data"]):
        if Path(folder).is_dir():
            return Path(folder)
    pytest.skip("no real data: set METACL_DATA")


@pytest.fixture
def experiment(tmp_path: Path) -> Callable[..., Experiment]:
    """experiment("algo=reptile", ...) -> a checked tiny experiment whose runs go to tmp_path and draw nothing."""

    def build(*overrides: str, tiny: Sequence[str] = TINY) -> Experiment:
        lines = [*tiny, f"output_dir={tmp_path / 'runs'}", "progress=none", "figures.style=none", *overrides]
        return experiment_of(lines)

    return build


@pytest.fixture(autouse=True)
def _no_card_but_in_gpu_tests(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every other test means the CPU: its kernels, its bits, its memory."""
    if torch.cuda.is_available() and not request.node.get_closest_marker("gpu"):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # of the processes that it starts


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs CUDA"))

"""Fixtures shared by all tests: float64 toy episodes, composed experiments, where real data lie."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from metacl_run.compose import compose_job
from metacl_run.config import Experiment, load
from metacl_run.types import Episode

REPOSITORY = Path(__file__).parent.parent
TINY = [
    "data.num_classes=40",
    "data.num_scripts=2",
    "data.num_tasks=2",
    "data.ways=3",
    "model.channels=4",
    "algo.meta_batch_size=3",
    "protocol.updates_per_task=4",
    "protocol.eval_episodes=4",
    "protocol.eval_every=2",
    "protocol.log_every=2",
    "gpu.threads=1",
]
"""Overrides of a complete run that takes about a second."""


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets: METACL_DATA, or `shared/data` beside the checkout."""
    for folder in filter(None, [os.environ.get("METACL_DATA"), REPOSITORY.parent / "shared" / "data"]):
        if Path(folder).is_dir():
            return Path(folder)
    pytest.skip("no real data: set METACL_DATA")


@pytest.fixture
def experiment(tmp_path: Path) -> Callable[..., Experiment]:
    """experiment("algo=reptile", ...) -> a checked tiny experiment whose runs go to tmp_path."""

    def build(*overrides: str, tiny: Sequence[str] = TINY) -> Experiment:
        given = [*tiny, f"output_dir={tmp_path / 'runs'}", "progress=none", *overrides]
        return load(*compose_job(given), given)

    return build


def toy_episode(
    *, episodes: int | None = None, ways: int = 3, shots: int = 2, queries: int = 2, size: int = 8, seed: int = 0
) -> Episode:
    """Random float64 images [.., 1, size, size] in classes that can be told apart."""
    generator = torch.Generator().manual_seed(seed)
    lead = () if episodes is None else (episodes,)
    centre = torch.randn(*lead, ways, 1, size, size, dtype=torch.float64, generator=generator)

    def draw(each: int) -> tuple[torch.Tensor, torch.Tensor]:
        noise = torch.randn(*lead, each, ways, 1, size, size, dtype=torch.float64, generator=generator)
        x = (centre.unsqueeze(len(lead)) + 0.5 * noise).flatten(len(lead), len(lead) + 1)
        y = torch.arange(ways).repeat(each)
        return x, y.expand(*lead, -1).contiguous()

    return Episode(*draw(shots), *draw(queries), torch.zeros(*lead, 0, 0, dtype=torch.int64))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs CUDA"))

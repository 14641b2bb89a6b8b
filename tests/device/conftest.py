"""Runs on the fake card have a process of their own: torch counts its devices once, at a process's first backward pass."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.device.fake_card import MEMORY
from tests.device.fake_runs import FakeRun, run_on_fake_card


@pytest.fixture(scope="module")
def fake_run() -> Iterator[Callable[..., FakeRun]]:
    """fake_run(overrides, gpu=[], total_memory=...) -> the run, as `run_on_fake_card` has it."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:

        def run(overrides: Sequence[str], gpu: Sequence[str] = (), total_memory: int = MEMORY) -> FakeRun:
            return process.submit(run_on_fake_card, overrides, gpu, total_memory).result()

        yield run

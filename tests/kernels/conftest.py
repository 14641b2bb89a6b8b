"""One process interprets Triton's kernels for all tests of this folder."""

from __future__ import annotations

import importlib.util
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.support.triton_interpreter import interpret


@pytest.fixture(scope="session")
def interpreted() -> Iterator[Callable[..., None]]:
    """interpreted(check, *arguments) calls a check where kernels are interpreted."""
    if importlib.util.find_spec("triton") is None:
        pytest.skip("needs Triton")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=interpret) as process:
        yield lambda check, *arguments: process.submit(check, *arguments).result()

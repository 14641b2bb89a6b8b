"""Fixtures of tests about whole runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from metacl_run.config.load import Experiment

SMALL = ["data.num_tasks=1", "protocol.eval_every=0", "protocol.checkpoint_every=0", "protocol.log_every=1"]


@pytest.fixture
def small(experiment: Callable[..., Experiment]) -> Callable[..., Experiment]:
    return lambda *overrides: experiment(*SMALL, *overrides)


@pytest.fixture
def drawn(small: Callable[..., Experiment]) -> Callable[..., Experiment]:
    """The same, with figures and a report."""
    return lambda *overrides: small("figures.style=screen", *overrides)

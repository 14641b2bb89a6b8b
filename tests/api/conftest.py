"""Small runs of every protocol, computed once."""

from __future__ import annotations

import pytest

import metacl_run as mr
from tests.support.small_runs import KINDS, settings


@pytest.fixture(scope="session")
def finished_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, mr.RunResult]:
    """A finished run of two seeds, with figures and a report, by the kind of its protocol."""
    folder = tmp_path_factory.mktemp("api")
    return {kind: mr.run([*settings(kind, folder), "figures.style=screen"]) for kind in KINDS}

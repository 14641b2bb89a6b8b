"""A run keeps to the compiled kernels that it was begun with."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from metacl_run.config.load import Experiment
from metacl_run.experiment import run
from metacl_run.kernels import build
from tests.support.runs import assert_same_run, stop_after
from tests.support.settings import SMALL_STREAM


def summary(built: Experiment) -> dict[str, Any]:
    return json.loads((built.directory / "summary.json").read_text())


@pytest.mark.skipif(build.load() is None, reason="no compiled kernels here")
def test_a_run_keeps_to_the_kernels_that_it_was_begun_with(
    experiment: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    online = ["algo=la_maml", *SMALL_STREAM, "data.train_per_task=20"]

    def here(name: str) -> Experiment:
        folder = experiment(*online, tiny=[]).output_dir / name
        return experiment(f"output_dir={folder}", *online, tiny=[])

    used: list[bool] = []
    original = build.load
    monkeypatch.setattr(build, "load", lambda: (used.append(original() is not None), original())[1])
    with build.without():
        unbroken = here("unbroken")
        run(unbroken)
    assert summary(unbroken)["environment"]["kernels"] == "off"
    begun = here("begun")
    with build.without():
        stop_after(begun, 5)
    used.clear()
    assert run(begun) == 0
    assert used
    assert not any(used)
    assert_same_run(begun.directory, unbroken.directory)
    assert summary(begun)["environment"]["kernels"] == "off"

    begun = here("with")
    stop_after(begun, 5)
    with build.without():
        assert run(begun) == 0
    (warning,) = summary(begun)["warnings"]
    assert re.match(r"the run was begun with the compiled kernels kernels-[0-9a-f]{16}-[0-9a-f]{16} and", warning)

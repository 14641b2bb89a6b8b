"""Whole runs: started as a process or in this one, stopped, and compared with each other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_leaves

from metacl_run import experiment
from metacl_run.config.load import Experiment
from metacl_run.experiment import run
from metacl_run.protocols import loop
from metacl_run.protocols.run_context import RunContext
from metacl_run.runtime.ranks import ALONE
from metacl_run.storage.run_writer import SilentWriter
from tests.support.commands import run_command
from tests.support.settings import TINY

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "COLUMNS": "200"}


def metacl(*overrides: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run_command(*TINY, *overrides, cwd=cwd)


def only_run(root: Path) -> Path:
    (summary,) = root.rglob("summary.json")
    return summary.parent


def parameters(directory: Path) -> list[torch.Tensor]:
    content = torch.load(directory / "checkpoint.pt", weights_only=True)["content"]
    return tree_leaves(content["learner"])


def records(directory: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        del line["wall_s"]
    return lines


def assert_same_run(a: Path, b: Path) -> None:
    assert json.loads((a / "summary.json").read_text())["metrics"] == json.loads((b / "summary.json").read_text())["metrics"]
    assert (a / "accuracy_matrix.npy").read_bytes() == (b / "accuracy_matrix.npy").read_bytes()
    assert records(a) == records(b)
    assert all(torch.equal(x, y) for x, y in zip(parameters(a), parameters(b), strict=True))


def context_of(built: Experiment) -> RunContext[Any, Any, Any]:
    """The context of a run that writes nothing."""
    parts = {name: getattr(built, name) for name in ("algo", "model", "data", "gpu", "seeds", "insight")}
    pool = built.protocol.load(built.data, built.seeds).to(built.gpu.torch_device)
    calls = {"stop_requested": lambda: False, "started": lambda *_: None}
    return RunContext(**parts, pool=pool, store=SilentWriter(), ranks=ALONE, **calls)


def stop_after(built: Experiment, units: int) -> None:
    """Runs until `units` units of the run are done, as if the process had been told to stop."""
    original, signals = loop.run_step, []

    def run_step(phase: Any, state: Any, first: int) -> None:
        if state.unit == units - 1 and not signals:
            signals.append(units)
            os.kill(os.getpid(), signal.SIGTERM)
        original(phase, state, first)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "run_step", run_step)
        assert run(built) == 130


def stop_at_once(built: Experiment) -> None:
    """Starts a run that is told to stop before its first unit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "RunContext", lambda **parts: RunContext(**{**parts, "stop_requested": lambda: True}))
        assert run(built) == 130

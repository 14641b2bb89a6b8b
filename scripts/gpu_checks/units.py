"""Times the units of a run as the run does them: sampling, upload and update, without evaluation."""

from __future__ import annotations

import statistics
import time
from typing import Any
from unittest import mock

import torch

from gpu_checks.measuring import kernels, wait
from metacl_run.config.compose import experiment_of
from metacl_run.protocols.run_context import RunContext
from metacl_run.protocols.training import TrainingPhase
from metacl_run.runtime.ranks import ALONE
from metacl_run.storage.run_writer import SilentWriter

UNCOUNTED = 4
"""Units before those that are timed: they capture, compile and fill caches."""


def timed_units(overrides: list[str], device: str, units: int) -> dict[str, Any]:
    """Runs a few units of an experiment; returns medians of their time, of the host's part, and their kernels."""
    experiment = experiment_of([*overrides, f"gpu={device}"])
    experiment.gpu.apply(0)
    parts = {name: getattr(experiment, name) for name in ("algo", "model", "data", "gpu", "seeds", "insight")}
    whole: list[float] = []
    host: list[float] = []
    profile: dict[str, Any] = {}
    plain_step = TrainingPhase.step

    def step(self: TrainingPhase, unit: int) -> int:
        if len(whole) == UNCOUNTED + units - 1:
            profile.update(kernels(lambda: plain_step(self, unit), device))
            whole.append(0.0)
            return 1
        wait(device)
        begun = time.perf_counter()
        done = plain_step(self, unit)
        host.append((time.perf_counter() - begun) / done)
        wait(device)
        whole.append((time.perf_counter() - begun) / done)
        return done

    def begin(self: TrainingPhase) -> None:
        """Without the evaluation before learning."""

    def after_step(self: TrainingPhase) -> None:
        state = self.progress.state
        state.metric_sums, state.units_summed = None, 0

    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with (
        mock.patch.object(TrainingPhase, "step", step),
        mock.patch.object(TrainingPhase, "begin", begin),
        mock.patch.object(TrainingPhase, "after_step", after_step),
    ):
        context = RunContext(
            **parts,
            pool=experiment.protocol.load(experiment.data, experiment.seeds).to(experiment.gpu.torch_device),
            store=SilentWriter(),
            ranks=ALONE,
            stop_requested=lambda: len(whole) >= UNCOUNTED + units,
            started=lambda *_: None,
        )
        experiment.protocol.run(context)
    counted = slice(UNCOUNTED, UNCOUNTED + units - 1)
    return {
        "ms": round(1e3 * statistics.median(whole[counted]), 4),
        "host_ms": round(1e3 * statistics.median(host[counted]), 4),
        "first_s": round(whole[0], 3),
        "peak_mb": round(torch.cuda.max_memory_allocated() / 2**20) if device == "cuda" else None,
        **profile,
    }

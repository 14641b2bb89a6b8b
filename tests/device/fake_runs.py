"""Whole small runs on the fake card, with their work counted by phase."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from unittest import mock

from metacl_run.protocols.evaluator import MatrixEvaluator
from metacl_run.protocols.insight import InsightRecorder
from metacl_run.protocols.run_context import RunContext
from metacl_run.protocols.training import TrainingPhase
from metacl_run.runtime.ranks import ALONE
from metacl_run.storage.run_writer import SilentWriter
from tests.device.fake_card import MEMORY, Card, Phase, fake_card
from tests.support.composing import experiment_of

COUNTED = (
    (TrainingPhase, "step", "unit"),
    (TrainingPhase, "after_step", "record"),
    (MatrixEvaluator, "_evaluate", "evaluation"),
    (InsightRecorder, "record", "insight"),
)
"""Methods whose work is a phase of its own."""


class FakeRun(NamedTuple):
    """A run that has ended."""

    status: str
    phases: dict[str, Phase]
    forecast: dict[str, float]
    warnings: list[str]
    peak_mb: float
    """The most memory at once, without what is there in the end, since the forecast."""


def run_on_fake_card(overrides: Sequence[str], gpu: Sequence[str] = (), total_memory: int = MEMORY) -> FakeRun:
    """Runs an experiment to its end, with these settings of the group gpu, on a card with so many bytes. Data are loaded before
    the card is there."""
    on_cpu = experiment_of([*overrides, "gpu=cpu"])
    pool = on_cpu.protocol.load(on_cpu.data, on_cpu.seeds)
    with fake_card(total_memory) as card:
        experiment = experiment_of([*overrides, "gpu=cuda", *gpu])
        experiment.gpu.apply(0)
        parts = {name: getattr(experiment, name) for name in ("algo", "model", "data", "gpu", "seeds", "insight")}
        context = RunContext(
            **parts,
            pool=pool.to(experiment.gpu.torch_device),
            store=SilentWriter(),
            ranks=ALONE,
            stop_requested=lambda: False,
            started=lambda *_, **__: None,
        )
        patches = [mock.patch.object(owner, name, _counted(card, owner, name, phase)) for owner, name, phase in COUNTED]
        for patch in patches:
            patch.start()
        try:
            result = experiment.protocol.run(context)
            peak_mb = (card.memory.peak - card.memory.live) / 1e6
            return FakeRun(result.status, card.phases, result.forecast, result.warnings, peak_mb)
        finally:
            for patch in patches:
                patch.stop()


def _counted(card: Card, owner: type, name: str, phase: str):  # type: ignore[no-untyped-def]
    method = getattr(owner, name)

    def counted(self, *arguments, **settings):  # type: ignore[no-untyped-def]
        with card.phase(phase):
            return method(self, *arguments, **settings)

    return counted

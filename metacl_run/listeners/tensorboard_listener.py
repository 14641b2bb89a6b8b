"""TensorBoard event files in the run directory: `tensorboard --logdir <output_dir>` shows all runs side by side."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from metacl_run.core.bounds import Count
from metacl_run.core.errors import ConfigError
from metacl_run.listeners.fault_tolerant import FaultTolerantListener
from metacl_run.listeners.scalars import meta_test_curves, scalars
from metacl_run.storage.listener import Listener, Logger, RunInfo
from metacl_run.storage.stored_run import StoredRun


@dataclass(frozen=True, kw_only=True)
class TensorBoardLogger(Logger):
    flush_s: Count
    """Seconds between writes to the file."""
    figures: bool
    """Add the figures when the run has ended."""

    def listeners(self) -> list[Listener]:
        if importlib.util.find_spec("tensorboard") is None:
            raise ConfigError("logger=tensorboard needs a package: pip install metacl-run[tensorboard]")
        return [FaultTolerantListener(TensorBoardListener(self), "TensorBoard")]


class TensorBoardListener(Listener):
    """Writes into <run directory>/tensorboard, anew at every start: for a continued run, the earlier records first."""

    def __init__(self, settings: TensorBoardLogger) -> None:
        self._settings = settings
        self._writer: Any = None
        self._info: RunInfo

    def started(self, info: RunInfo) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._info = info
        folder = info.directory / "tensorboard"
        for path in folder.glob("events.out.tfevents.*"):
            path.unlink()
        self._writer = SummaryWriter(str(folder), flush_secs=self._settings.flush_s)
        self._writer.add_text("config", _code(info.config), 0)
        for record in info.earlier:
            self.record(record)

    def record(self, record: dict[str, Any]) -> None:
        for name, value in scalars(record, self._info.seeds, self._info.score).items():
            self._writer.add_scalar(name, value, record["unit"])

    def finished(self, run: StoredRun) -> None:
        summary = run.summary
        last = self._info.units_per_task * len(self._info.task_names[0])
        for name, metric in summary["metrics"].items():
            if metric["mean"] is not None:
                self._writer.add_scalar(f"summary/{name}", metric["mean"], last)
        for classes, values in meta_test_curves(summary, self._info.seeds).items():
            for name, value in values.items():
                self._writer.add_scalar(name, value, classes)  # against classes learned, not units of work
        self._writer.add_text("summary", _code(summary), last)
        if self._settings.figures:
            self._add_figures(last)
        self._writer.close()

    def _add_figures(self, unit: int) -> None:
        from PIL import Image

        for path in sorted(self._info.directory.glob("figures/*.png")):
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
            self._writer.add_image(f"figures/{path.stem}", pixels, unit, dataformats="HWC")


def _code(value: dict[str, Any]) -> str:
    """Returns JSON indented by four, which Markdown shows as code."""
    return "\n".join("    " + line for line in json.dumps(value, indent=2, default=str).splitlines())

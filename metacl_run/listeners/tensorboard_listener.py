"""TensorBoard event files in the run directory: `tensorboard --logdir <output_dir>` shows all runs side by side."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from metacl_run.core.bounds import Count
from metacl_run.core.errors import shown
from metacl_run.listeners.run_description import flat_settings, require_package
from metacl_run.listeners.scalars import by_number, meta_test_curves, scalars
from metacl_run.storage.listener import Listener, Logger, RunInfo
from metacl_run.storage.stored_run import StoredRun


@dataclass(frozen=True, kw_only=True)
class TensorBoardLogger(Logger):
    flush_s: Count
    """Seconds between writes to the file."""
    figures: bool
    """Add the figures when the run has ended."""

    def __post_init__(self) -> None:
        require_package("tensorboard", "tensorboard", "'metacl-run[tensorboard]'")

    def listener(self) -> Listener:
        return TensorBoardListener(self)


class TensorBoardListener(Listener):
    """Writes into <run directory>/tensorboard, anew at every start: for a continued run, the earlier records first."""

    def __init__(self, logger: TensorBoardLogger) -> None:
        self._logger = logger
        self._writer: Any = None
        self._info: RunInfo

    def started(self, info: RunInfo) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._info = info
        folder = info.directory / "tensorboard"
        for path in folder.glob("events.out.tfevents.*"):
            path.unlink()
        self._writer = SummaryWriter(str(folder), flush_secs=self._logger.flush_s)
        self._writer.add_text("config", _code(info.config), 0)
        for record in info.earlier:
            self.record(record)

    def record(self, record: dict[str, Any]) -> None:
        for name, value in scalars(record, self._info.seeds, self._info.score, self._task_label).items():
            self._writer.add_scalar(name, value, record["unit"])

    def finished(self, run: StoredRun) -> None:
        summary = run.summary
        last = self._info.total_units
        metrics = {
            f"summary/{name}": metric["mean"] for name, metric in summary["metrics"].items() if metric["mean"] is not None
        }
        for name, mean in metrics.items():
            self._writer.add_scalar(name, mean, last)
        self._add_hparams(metrics)
        for classes, values in meta_test_curves(summary, self._info.seeds).items():
            for name, value in values.items():
                self._writer.add_scalar(name, value, classes)  # against classes learned, not units of work
        self._writer.add_text("summary", _code(summary), last)
        if self._logger.figures:
            self._add_figures(last)
        self._writer.close()

    def _task_label(self, task: int) -> str:
        """Returns the number of a task, and its name where it is the same task for every seed: "task_01_Hebrew"."""
        names = {replicate[task] for replicate in self._info.task_names}
        name = re.sub(r"[^\w.-]+", "_", names.pop()).strip("_") if len(names) == 1 else ""
        return f"{by_number(task)}_{name}".rstrip("_")

    def _add_hparams(self, metrics: dict[str, float]) -> None:
        """Adds the run to the tab of hyperparameters. `SummaryWriter.add_hparams` would make a second folder for it."""
        from torch.utils.tensorboard.summary import hparams

        plain = {
            key: value if isinstance(value, bool | int | float) else shown(value)
            for key, value in flat_settings(self._info).items()
        }
        for part in hparams(plain, metrics):
            self._writer.file_writer.add_summary(part)

    def _add_figures(self, unit: int) -> None:
        from PIL import Image

        for path in sorted(self._info.directory.glob("figures/*.png")):
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
            self._writer.add_image(f"figures/{path.stem}", pixels, unit, dataformats="HWC")


def _code(value: dict[str, Any]) -> str:
    """Returns JSON indented by four, which Markdown shows as code."""
    return "\n".join("    " + line for line in json.dumps(value, indent=2, default=str).splitlines())

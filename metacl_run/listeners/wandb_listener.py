"""Weights & Biases: the same numbers as the run directory, by unit of work. `logger.mode=offline` needs no account."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from annotated_types import MaxLen, MinLen

from metacl_run.core.errors import ConfigError
from metacl_run.listeners.fault_tolerant import FaultTolerantListener
from metacl_run.listeners.scalars import meta_test_curves, scalars
from metacl_run.storage.listener import Listener, Logger, RunInfo
from metacl_run.storage.run_files import FIGURES, REPORT
from metacl_run.storage.stored_run import StoredRun


@dataclass(frozen=True, kw_only=True)
class WandbLogger(Logger):
    mode: Literal["online", "offline", "disabled"]
    """online, offline (files under the run directory, for `wandb sync`) or disabled."""
    project: Annotated[str, MinLen(1)]
    entity: str | None
    """User or team; None: the account's default."""
    group: str | None
    """Name of a group of runs that W&B shows together, for instance the jobs of a sweep."""
    tags: list[Annotated[str, MinLen(1), MaxLen(64)]]
    name: str | None
    """The name that W&B shows; None: W&B invents one."""

    def listeners(self) -> list[Listener]:
        return [FaultTolerantListener(WandbListener(self), "W&B")]


class WandbListener(Listener):
    """Logs to one W&B run under the run's own id, so that a run continued here is continued there.

    Earlier records that W&B does not have are logged first; where it writes a new folder, these are all earlier records.
    """

    def __init__(self, settings: WandbLogger) -> None:
        self._settings = settings
        self._run: Any = None
        self._info: RunInfo

    def started(self, info: RunInfo) -> None:
        try:
            import wandb
        except ImportError as error:
            raise ConfigError(f"logger=wandb: {error}; pip install wandb, or choose logger=none") from error
        self._info = info
        try:
            self._run = wandb.init(
                **asdict(self._settings),
                id=info.run_id,
                resume="allow" if self._settings.mode == "online" else None,
                dir=str(info.directory),
                config=info.config,
                job_type=info.algo,
                settings=wandb.Settings(console="off", silent=True),
            )
        except Exception as error:
            # wandb raises its own errors, pydantic's and the network's, for one reason: it cannot start with these settings.
            reason = f"{type(error).__name__}: {error}"
            offline = "" if self._settings.mode == "offline" else "logger.mode=offline needs neither account nor network, "
            raise ConfigError(
                f"logger.mode={self._settings.mode}: W&B did not start ({reason}); {offline}logger=none goes without"
            ) from error
        # The axis is "unit", not W&B's own step, which would refuse the records that a continued run writes a second time.
        self._run.define_metric("unit", hidden=True)
        self._run.define_metric("*", step_metric="unit")
        last_unit = self._run.summary.get("unit", -1) if self._run.resumed else -1
        for record in info.earlier:
            if record["unit"] > last_unit:
                self.record(record)

    def record(self, record: dict[str, Any]) -> None:
        if values := scalars(record, self._info.seeds, self._info.score):
            self._run.log({"unit": record["unit"], **values})

    def finished(self, run: StoredRun) -> None:
        import wandb

        summary = run.summary
        for name, metric in summary["metrics"].items():
            self._run.summary[name] = metric["mean"]
            self._run.summary[f"{name}_std"] = metric["std"]
        self._log_meta_test(summary)
        self._run.summary["status"] = summary["status"]
        self._run.summary["eval_split"] = run.eval_split
        self._run.summary["wall_s"] = summary["timing"].get("wall_s")
        folder = self._info.directory
        pictures: dict[str, Any] = {
            f"figures/{path.stem}": wandb.Image(str(path)) for path in sorted((folder / FIGURES).glob("*.png"))
        }
        if (report := folder / REPORT).exists():
            pictures["report"] = wandb.Html(report.read_text(encoding="utf-8"), inject=False)
        if pictures:
            self._run.log(pictures)
        self._run.finish(exit_code=0 if summary["status"] == "completed" else 1)

    def _log_meta_test(self, summary: dict[str, Any]) -> None:
        """Logs the curves of the meta-test, whose axis is classes learned, not units of work."""
        for classes, values in meta_test_curves(summary, self._info.seeds).items():
            for name in values:
                self._run.define_metric(name, step_metric="meta_test/classes")
            self._run.log({"meta_test/classes": classes, **values})

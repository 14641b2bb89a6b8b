"""Weights & Biases: the same numbers as the run directory, by unit of work, and its files as one artifact."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import MinLen

from metacl_run.core.bounds import NonNegative
from metacl_run.core.errors import ConfigError
from metacl_run.listeners.run_description import choices, files, require_package, settings
from metacl_run.listeners.scalars import meta_test_curves, scalars
from metacl_run.storage.listener import Listener, Logger, RunInfo
from metacl_run.storage.run_files import FIGURES, REPORT
from metacl_run.storage.stored_run import StoredRun

Mode = Literal["online", "offline", "disabled", "auto"]
CHECKOUT = Path(__file__).parents[2]
FOLDER = re.compile(r"(?:offline-)?run-(\d+_\d+)-(.+)")
"""The folder that W&B makes for a run in `wandb/`: when it began, and its id."""


@dataclass(frozen=True, kw_only=True)
class WandbLogger(Logger):
    mode: Mode
    """auto: follow W&B's own settings (WANDB_MODE, `wandb offline`); without them, online if the user is logged in, else
    offline. offline: files under the run directory, for `wandb sync`."""
    project: Annotated[str, MinLen(1)]
    entity: str | None
    """User or team; None: the account's default."""
    group: str | None
    """Name of a group of runs that W&B shows together; None: the sweep, search or table of the run."""
    name: str | None
    """The name that W&B shows; None: the name of the run."""
    checkpoint_mb: NonNegative
    """The largest checkpoint.pt that goes into the artifact."""

    def __post_init__(self) -> None:
        require_package("wandb", "wandb", "wandb")

    def listener(self) -> Listener:
        return WandbListener(self)


class WandbListener(Listener):
    """Logs to one W&B run. A run that is continued here is continued there; one that is computed again is a new one. Its id is
    that of the run, with some letters more.

    The config of the W&B run has the flat keys algo, data, model and protocol, and everything else under `settings` and
    `environment`: `settings.algo.inner_lr`, `environment.git_commit`. Earlier records that W&B does not have are logged first;
    where it writes a new folder, these are all earlier records.
    """

    def __init__(self, logger: WandbLogger) -> None:
        self._logger = logger
        self._mode = _mode(logger.mode)
        self._run: Any = None
        self._info: RunInfo

    def started(self, info: RunInfo) -> None:
        self._info = info
        self._run = self._init()
        # The axis is "unit", not W&B's own step, which would refuse the records that a continued run writes a second time.
        self._run.define_metric("unit", hidden=True)
        self._run.define_metric("*", step_metric="unit")
        last_unit = self._run.summary.get("unit", -1) if self._run.resumed else -1
        for record in info.earlier:
            if record["unit"] >= last_unit:  # of one unit there may be several records
                self.record(record)

    def record(self, record: dict[str, Any]) -> None:
        if values := scalars(record, self._info.seeds, self._info.score):
            self._run.log({"unit": record["unit"], **values})

    def finished(self, run: StoredRun) -> None:
        summary = run.summary
        for name, metric in summary["metrics"].items():
            self._run.summary[name] = metric["mean"]
            self._run.summary[f"{name}_std"] = metric["std"]
        self._log_meta_test(summary)
        self._run.summary["status"] = summary["status"]
        self._run.summary["eval_split"] = run.eval_split
        self._run.summary["wall_s"] = summary["timing"].get("wall_s")
        self._log_pictures()
        self._log_artifact()
        offline, folder = self._run.offline, self._run.sync_dir
        self._run.finish(exit_code=0 if summary["status"] == "completed" else 1)
        if offline:
            self._info.say(f"W&B offline: `wandb sync {folder}` uploads it")

    # ------------------------------------------------------------------------------------------------------------ its start

    def _init(self) -> Any:
        """Starts the W&B run; offline where the server of an account cannot be reached and the user did not choose the mode.

        Raises:
            ConfigError: W&B cannot start with these settings.
        """
        import wandb

        try:
            return self._wandb_run(self._mode)
        except Exception as error:
            # wandb raises its own errors, pydantic's and the network's, for one reason: it cannot start with these settings.
            reason = f"{type(error).__name__}: {error}"
        if self._mode == "online" and self._logger.mode == "auto":
            self._info.say(f"W&B could not be reached, and the run is logged offline ({reason})")
            wandb.teardown()  # its service would still take the run for started
            return self._wandb_run("offline")
        hint = "" if self._mode == "offline" else "logger.wandb.mode=offline needs neither account nor network, "
        raise ConfigError(
            f"logger.wandb.mode={self._logger.mode}: W&B did not start ({reason}); {hint}logger=none goes without"
        )

    def _wandb_run(self, mode: Any) -> Any:
        import wandb

        info, logger = self._info, self._logger
        return wandb.init(
            mode=mode,
            project=logger.project,
            entity=logger.entity,
            group=logger.group or info.group,
            name=logger.name or info.name,
            tags=list(info.tags),
            id=_id(info),
            resume="allow" if mode == "online" else None,
            dir=str(info.directory),
            config={**choices(info), "settings": settings(info), "environment": dict(info.environment)},
            job_type=info.algo,
            settings=wandb.Settings(console="off", silent=True, git_root=_git_root()),
        )

    # ------------------------------------------------------------------------------------------------------------- its end

    def _log_pictures(self) -> None:
        import wandb

        folder = self._info.directory
        pictures: dict[str, Any] = {
            f"{FIGURES}/{path.stem}": wandb.Image(str(path)) for path in sorted((folder / FIGURES).glob("*.png"))
        }
        if (report := folder / REPORT).exists():
            pictures["report"] = wandb.Html(report.read_text(encoding="utf-8"), inject=False)
        if pictures:
            self._run.log(pictures)
        for name in pictures:  # their sizes and hashes are no results
            del self._run.summary[name]

    def _log_artifact(self) -> None:
        import wandb

        artifact = wandb.Artifact(
            f"run-{self._info.run_id}", type="run", description="config, results and checkpoint of the run"
        )
        for path in files(self._info.directory, self._logger.checkpoint_mb):
            artifact.add_file(str(path), policy="immutable")  # uploaded from where it is, not copied to the home folder first
        self._run.log_artifact(artifact)

    def _log_meta_test(self, summary: dict[str, Any]) -> None:
        """Logs the curves of the meta-test, whose axis is classes learned, not units of work."""
        for classes, values in meta_test_curves(summary, self._info.seeds).items():
            for name in values:
                self._run.define_metric(name, step_metric="meta_test/classes")
            self._run.log({"meta_test/classes": classes, **values})


def _id(info: RunInfo) -> str:
    """Returns the id of the W&B run: of a continued run that of its newest folder here, else one that no run has."""
    if not info.earlier:
        return f"{info.run_id}-{secrets.token_hex(4)}"
    folders = filter(None, (FOLDER.fullmatch(path.name) for path in (info.directory / "wandb").glob("*run-*")))
    newest = max(folders, key=lambda folder: folder[1], default=None)
    return info.run_id if newest is None else newest[2]


def _mode(mode: str) -> str:
    """Returns the mode to start in.

    Raises:
        ConfigError: online without an account, which W&B would ask for in the terminal.
    """
    import wandb

    own = wandb.setup(wandb.Settings(silent=True)).settings
    if mode == "auto" and "mode" in own.model_fields_set:
        mode = str(own.mode)
    if mode not in ("auto", "online"):
        return mode
    logged_in = wandb.login(prompt=False, verify=False)
    if mode == "online" and not logged_in:
        raise ConfigError(
            "logger.wandb.mode=online: you are not logged in to W&B. `wandb login` does it once for this machine; "
            "logger.wandb.mode=offline needs no account"
        )
    return "online" if logged_in else "offline"


def _git_root() -> str | None:
    """Returns the checkout of this package, whose commit W&B records; None where there is none, or where the user works in a
    repository of their own."""
    here = Path.cwd()
    inside = any((folder / ".git").exists() for folder in (here, *here.parents))
    return str(CHECKOUT) if not inside and (CHECKOUT / ".git").exists() else None

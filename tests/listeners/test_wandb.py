"""W&B, read back from its offline file; the mode it starts in; what a continued run logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metacl_run.config.components import fill
from metacl_run.core.errors import ConfigError
from metacl_run.listeners.wandb_listener import WandbListener, WandbLogger
from tests.support.listeners import info_of, records, stored
from tests.support.wandb_files import read_wandb

wandb = pytest.importorskip("wandb")
KEY = "a" * 40


@pytest.fixture(autouse=True)
def _nobody_is_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "home" / "netrc"))
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    wandb.teardown()  # it reads its settings once


def wandb_logger(**changes: Any) -> WandbLogger:
    settings = {"mode": "offline", "project": "p", "entity": None, "group": None, "name": None, "checkpoint_mb": 1}
    return fill(WandbLogger, settings | changes, "logger.wandb")


def test_wandb_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"logger\.wandb\.mode=ofline: must be one of online, offline, disabled, auto"):
        wandb_logger(mode="ofline")
    with pytest.raises(ConfigError, match=r"logger\.wandb\.tags=x: is now the setting tags"):
        wandb_logger(tags="x")


@pytest.mark.parametrize(
    ("mode", "environment", "answer"),
    [
        ("auto", {}, "offline"),
        ("auto", {"WANDB_API_KEY": KEY}, "online"),
        ("auto", {"WANDB_MODE": "disabled"}, "disabled"),
        ("auto", {"WANDB_MODE": "offline", "WANDB_API_KEY": KEY}, "offline"),
        ("offline", {"WANDB_API_KEY": KEY}, "offline"),
        ("online", {"WANDB_API_KEY": KEY}, "online"),
        ("online", {}, None),
        ("auto", {"WANDB_MODE": "online"}, None),
    ],
)
def test_the_mode_is_what_wandb_users_expect(
    mode: str, environment: dict[str, str], answer: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if answer is None:
        with pytest.raises(ConfigError, match=r"^logger\.wandb\.mode=online: you are not logged in to W&B\. `wandb login`"):
            wandb_logger(mode=mode).listener()
    else:
        listener = wandb_logger(mode=mode).listener()
        assert isinstance(listener, WandbListener)
        assert listener._mode == answer


@pytest.mark.timeout(120)
def test_wandb_offline_reads_back_and_what_goes_on_has_the_whole_history(tmp_path: Path) -> None:
    everything = list(records())
    remarks: list[str] = []
    info = info_of(tmp_path / "run", first_unit=5, earlier=everything[:7], group="sweep-1", tags=["t"], say=remarks.append)
    (info.directory / "report.html").write_text("<h1>report</h1>")
    (info.directory / "checkpoint.pt").write_bytes(bytes(2 * 10**6))
    listener = wandb_logger().listener()
    listener.started(info)
    for record in everything[7:]:
        listener.record(record)
    listener.finished(stored(info))
    wandb.teardown()  # as at the end of a process: its service may not have written the file before

    (path,) = (tmp_path / "run").glob("wandb/latest-run/*.wandb")
    file = read_wandb(path)
    identity = file.run.run_id, file.run.display_name, file.run.project, file.run.run_group, list(file.run.tags)
    assert identity == ("0123abcd", "maml-split_glyphs-0123ab", "p", "sweep-1", ["t"])
    config = {key: value for key, value in file.config.items() if key != "_wandb"}
    assert config == {
        **{"algo": "maml", "data": "split_glyphs", "model": "conv4", "protocol": "continual_meta"},
        "settings": {"data": {"ways": 5}, "algo": {"inner_lr": 0.4}},
        "environment": {"git_commit": "c0ffee+"},
    }
    losses = {row["unit"]: row["train/loss"] for row in file.history if "train/loss" in row}
    assert list(losses) == list(range(1, 9))
    assert losses[8] == pytest.approx(1.5 / 8)
    last = next(row for row in reversed(file.history) if "eval/task_01" in row)
    assert (last["unit"], last["seed_7/eval/task_02"]) == (8, 0.9)
    assert (file.summary["accuracy"], file.summary["status"]) == (0.75, "completed")
    assert not [name for name in file.summary if name.startswith(("report", "figures"))]
    assert list(path.parent.glob("files/media/html/*.html"))
    (files,) = file.artifacts.values()
    assert set(files) == {"config.yaml", "summary.json", "accuracy_matrix.npy", "report.html"}  # the checkpoint is too large
    assert files["config.yaml"] == str(info.directory / "config.yaml")
    assert remarks == [f"W&B offline: `wandb sync {path.parent.resolve()}` uploads it"]


class Resumed:
    """Stands for a W&B run that the server knows up to a unit."""

    resumed = True

    def __init__(self, unit: int | None) -> None:
        self.summary = {} if unit is None else {"unit": unit}
        self.units: list[int] = []

    def define_metric(self, *_: Any, **__: Any) -> None:
        pass

    def log(self, row: dict[str, Any]) -> None:
        self.units.append(row["unit"])


@pytest.mark.parametrize(("known", "logged"), [(None, [0, 1, 2, 3, 4, 4]), (2, [2, 3, 4, 4]), (9, [])])
def test_wandb_online_receives_what_it_lacks(
    known: int | None, logged: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Resumed(known)
    monkeypatch.setattr(wandb, "init", lambda **_: run)
    listener = wandb_logger().listener()
    listener.started(info_of(tmp_path, first_unit=4, earlier=list(records())[:6]))
    assert run.units == logged


@pytest.mark.parametrize("mode", ["auto", "online"])
def test_a_server_out_of_reach_makes_the_run_offline_unless_online_was_chosen(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[str] = []
    remarks: list[str] = []

    def init(**arguments: Any) -> Resumed:
        modes.append(arguments["mode"])
        if arguments["mode"] == "online":
            raise wandb.errors.CommError("no such host")
        return Resumed(None)

    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr(wandb, "init", init)
    listener, info = wandb_logger(mode=mode).listener(), info_of(tmp_path, say=remarks.append)
    if mode == "online":
        with pytest.raises(ConfigError, match=r"logger\.wandb\.mode=online.*no such host.*logger\.wandb\.mode=offline"):
            listener.started(info)
    else:
        listener.started(info)
        assert modes == ["online", "offline"]
        assert remarks == ["W&B could not be reached, and the run is logged offline (CommError: no such host)"]


def test_what_is_computed_again_is_another_wandb_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids: list[str] = []
    started_s = iter(range(100, 200))

    def init(*, id: str, dir: str, **_: Any) -> Resumed:
        ids.append(id)
        (Path(dir) / "wandb" / f"offline-run-20260301_101{next(started_s)}-{id}").mkdir(parents=True)
        return Resumed(None)

    monkeypatch.setattr(wandb, "init", init)
    info, earlier = info_of(tmp_path / "run"), list(records())[:6]
    continued = info._replace(first_unit=4, earlier=earlier)
    for start in (info, continued, info, continued, continued):  # computed, continued; with rerun=true, continued twice
        wandb_logger().listener().started(start)
    first, again, other, *rest = ids
    assert first == again
    assert rest == [other, other]
    assert first != other
    assert all(name.startswith("0123abcd-") for name in ids)
    (tmp_path / "run" / "wandb" / "latest-run").symlink_to("nowhere")  # as wandb leaves it
    wandb_logger().listener().started(continued)
    assert ids[-1] == other

"""Whole runs: what they leave, that a killed run ends as the unbroken one, what goes wrong and how it is said."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metacl_run.config.load import Experiment
from metacl_run.core.errors import StorageError
from metacl_run.experiment import run
from metacl_run.protocols.evaluator import MatrixEvaluator
from tests.support.commands import Command
from tests.support.runs import assert_same_run, metacl, only_run, parameters, records, stop_after, stop_at_once
from tests.support.settings import TINY


def test_a_run_leaves_what_the_readme_promises(experiment: Callable[..., Experiment]) -> None:
    built = experiment("seeds=[0,3]", "figures.style=screen")
    assert run(built) == 0
    directory = built.directory
    assert {p.name for p in directory.iterdir()} >= {
        "config.yaml",
        "metrics.jsonl",
        "accuracy_matrix.npy",
        "summary.json",
        "checkpoint.pt",
        "run.log",
        "figures",
        "report.html",
    }
    summary = json.loads((directory / "summary.json").read_text())
    assert summary["status"] == "completed"
    assert summary["seeds"] == [0, 3]
    assert {"versions", "schema"} - set(summary) == {"versions"}
    matrix = np.load(directory / "accuracy_matrix.npy")
    assert matrix.shape == (2, 3, 2)
    assert np.isfinite(matrix).all()
    assert summary["metrics"]["accuracy"]["values"] == pytest.approx(matrix[:, -1].mean(1).tolist())
    assert summary["peak_memory_mb"] > 0
    assert not list(directory.glob(".*new"))


def test_the_same_config_is_shown_not_repeated_and_rerun_repeats(experiment: Callable[..., Experiment]) -> None:
    built = experiment()
    run(built)
    before = (built.directory / "summary.json").stat().st_mtime_ns
    assert run(experiment()) == 0
    assert (built.directory / "summary.json").stat().st_mtime_ns == before
    assert run(experiment("rerun=true")) == 0
    assert (built.directory / "summary.json").stat().st_mtime_ns != before


def test_replicates_equal_single_runs_in_float64(experiment: Callable[..., Experiment]) -> None:
    together = experiment("seeds=[2,5]", "gpu.precision=float64", "algo.replay=6")
    run(together)
    for i, seed in enumerate((2, 5)):
        alone = experiment(f"seeds=[{seed}]", "gpu.precision=float64", "algo.replay=6")
        run(alone)
        np.testing.assert_array_equal(
            np.load(together.directory / "accuracy_matrix.npy")[i], np.load(alone.directory / "accuracy_matrix.npy")[0]
        )
        for x, y in zip(parameters(together.directory), parameters(alone.directory), strict=True):
            torch.testing.assert_close(x[i], y[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("algo", ["maml", pytest.param("reptile", marks=pytest.mark.slow)])
def test_killed_again_and_again_it_ends_as_the_unbroken_run(algo: str, tmp_path: Path) -> None:
    work = [
        f"algo={algo}",
        "protocol.updates_per_task=12",
        "protocol.eval_every=6",
        "protocol.checkpoint_every=0",
        "algo.replay=6",
        "progress=none",
    ]
    assert metacl(*work, "output_dir=unbroken", cwd=tmp_path).returncode == 0
    waits = np.random.default_rng(0).uniform(0.0, 0.8, 30)
    kills = 0
    for wait in waits:
        process = Command(*TINY, *work, "output_dir=killed", cwd=tmp_path)
        deadline = time.monotonic() + 60
        checkpoint = None
        while checkpoint is None and time.monotonic() < deadline and process.poll() is None:
            checkpoint = next(tmp_path.glob("killed/*/*/*/checkpoint.pt"), None)
            time.sleep(0.02)
        time.sleep(3.0 * wait if kills else wait)
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        if kills == 3:
            assert metacl(*work, "output_dir=killed", cwd=tmp_path).returncode == 0
            break
    assert kills >= 1
    assert_same_run(only_run(tmp_path / "unbroken"), only_run(tmp_path / "killed"))


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_saves_first_and_the_same_command_goes_on(number: int, tmp_path: Path) -> None:
    work = ["protocol.updates_per_task=12", "protocol.eval_every=0", "progress=plain"]
    process = Command(*TINY, *work, "output_dir=stopped", cwd=tmp_path)
    while not any('"train"' in path.read_text() for path in tmp_path.glob("stopped/*/*/*/metrics.jsonl")):
        time.sleep(0.02)
        assert process.poll() is None
    process.send_signal(number)
    assert process.wait(timeout=60) == 130
    directory = only_run(tmp_path / "stopped")
    assert json.loads((directory / "summary.json").read_text())["status"] == "interrupted"
    done = torch.load(directory / "checkpoint.pt", weights_only=True)["content"]["unit"]
    assert 0 < done < 24
    assert metacl(*work, "output_dir=stopped", cwd=tmp_path).returncode == 0
    assert metacl(*work, "output_dir=unbroken", cwd=tmp_path).returncode == 0
    assert_same_run(directory, only_run(tmp_path / "unbroken"))


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_a_damaged_checkpoint_is_said_and_the_one_before_is_used(damage: str, experiment: Callable[..., Experiment]) -> None:
    unbroken = experiment("output_dir=" + str(experiment().output_dir / "unbroken"))
    run(unbroken)
    built = experiment("protocol.checkpoint_every=0")
    stop_after(built, 6)
    path = built.directory / "checkpoint.pt"
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    else:
        weights = torch.load(path, weights_only=True)["content"]["learner"]["meta"]["params"]["body.2.weight"]
        where = content.find(weights.numpy().tobytes())
        assert where > 0
        content[where] ^= 0x40
    path.write_bytes(content)
    assert run(built) == 0
    summary = json.loads((built.directory / "summary.json").read_text())
    assert any("truncated or corrupted" in w and "the one before it is used" in w for w in summary["warnings"])
    assert_same_run(built.directory, unbroken.directory)


def test_divergence_keeps_the_curves_and_exits_with_3(tmp_path: Path) -> None:
    result = metacl("algo.inner_lr=1e30", "output_dir=runs", "figures.style=screen", cwd=tmp_path)
    assert result.returncode == 3, result.stderr
    directory = only_run(tmp_path / "runs")
    summary = json.loads((directory / "summary.json").read_text())
    assert summary["status"] == "diverged"
    assert "not finite" in summary["error"]
    assert (directory / "report.html").exists()
    assert records(directory)[0]["kind"] == "eval"
    assert "Traceback" not in result.stdout + result.stderr
    assert metacl("algo.inner_lr=1e30", "output_dir=runs", "figures.style=screen", cwd=tmp_path).returncode == 3


def test_a_second_process_on_the_same_run_is_told_and_harms_nothing(tmp_path: Path) -> None:
    work = ["protocol.updates_per_task=20", "output_dir=runs", "progress=none"]
    first = Command(*TINY, *work, cwd=tmp_path)
    while not list(tmp_path.glob("runs/*/*/*/metrics.jsonl")):
        time.sleep(0.05)
        assert first.poll() is None
    second = metacl(*work, cwd=tmp_path)
    assert second.returncode == 1
    assert "another process is computing this run" in second.stderr
    assert "Traceback" not in second.stderr
    assert first.wait(timeout=120) == 0
    assert metacl("protocol.updates_per_task=20", "output_dir=unbroken", cwd=tmp_path).returncode == 0
    assert_same_run(only_run(tmp_path / "runs"), only_run(tmp_path / "unbroken"))


def test_an_output_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    result = metacl("output_dir=file/runs", cwd=tmp_path)
    assert result.returncode == 1
    assert "Choose another place with output_dir=" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_full_disk_is_one_message_and_the_run_goes_on_later(
    tmp_path: Path, experiment: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from metacl_run.core.errors import StorageError

    built = experiment("protocol.checkpoint_every=0")
    saved, original = 0, torch.save

    def full(*arguments: Any, **options: Any) -> None:
        nonlocal saved
        saved += 1
        if saved == 3:
            Path(arguments[1]).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        original(*arguments, **options)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(StorageError, match="the disk is full"):
        run(built)
    monkeypatch.undo()
    assert not list(built.directory.glob("*.new"))
    assert run(built) == 0
    unbroken = experiment("output_dir=" + str(tmp_path / "unbroken"))
    run(unbroken)
    assert_same_run(built.directory, unbroken.directory)


def test_a_sweep_goes_on_after_a_job_that_fails(tmp_path: Path) -> None:
    result = metacl("algo.inner_lr=1e30,0.4", "output_dir=runs", "-m", cwd=tmp_path)
    assert result.returncode == 3
    statuses = {json.loads(p.read_text())["status"] for p in tmp_path.glob("runs/*/*/*/summary.json")}
    assert statuses == {"completed", "diverged"}
    assert "completed    " in result.stdout
    assert "diverged     " in result.stdout


def test_help_and_cfg_work_as_hydra_users_expect(tmp_path: Path) -> None:
    shown = metacl("--help", cwd=tmp_path)
    assert shown.returncode == 0
    assert "-m, --multirun" in shown.stdout
    assert metacl("--resolve", cwd=tmp_path).stderr == (
        "metacl-run: --resolve: only goes with --cfg, as in metacl-run --cfg job --resolve\n"
    )
    config = metacl("--cfg", "job", cwd=tmp_path)
    assert config.returncode == 0
    assert "_target_: metacl_run.algorithms.continual_meta.maml.Maml" in config.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_prints_one_message_and_exits_with_1(tmp_path: Path) -> None:
    result = metacl("algo.inner_lrr=3", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("metacl-run: algo.inner_lrr=3: Maml has no such setting. Did you mean algo.inner_lr?")
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_engines_give_the_same_run(experiment: Callable[..., Experiment]) -> None:
    runs = [experiment("gpu.precision=float64", f"gpu.engine={engine}") for engine in ("loop", "vmap")]
    for built in runs:
        run(built)
    for x, y in zip(*(parameters(built.directory) for built in runs), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-9)


def test_a_reduced_precision_says_how_far_its_gradient_is_off(experiment: Callable[..., Experiment]) -> None:
    built = experiment("gpu.precision=bf16")
    run(built)
    summary = json.loads((built.directory / "summary.json").read_text())
    (warning,) = summary["warnings"]
    assert warning.startswith("gpu.precision=bf16: the first meta-update's direction is ")
    assert 0.1 < float(warning.split("direction is ")[1].split("%")[0]) < 200


def test_a_first_direction_of_zero_is_compared_with_nothing(experiment: Callable[..., Experiment]) -> None:
    """Nothing is meta-learned before a test."""
    built = experiment("gpu.precision=bf16", "algo=ncm_few_shot")
    run(built)
    assert json.loads((built.directory / "summary.json").read_text())["warnings"] == []


def test_the_chunk_is_kept_over_a_resume_and_memory_is_forecast(experiment: Callable[..., Experiment]) -> None:
    built = experiment("gpu.memory_gb=0.0008")
    run(built)
    summary = json.loads((built.directory / "summary.json").read_text())
    assert summary["memory_forecast"]["train_chunk"] < 3
    assert summary["memory_forecast"]["train_mb"] < 2


def test_what_fails_while_running_leaves_a_summary_and_a_report(
    experiment: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    built = experiment("protocol.checkpoint_every=0", "figures.style=screen")

    def broken(*_: Any) -> None:
        raise FloatingPointError("something of ours")

    with monkeypatch.context() as patched:
        patched.setattr(MatrixEvaluator, "evaluate", broken)
        with pytest.raises(FloatingPointError):
            run(built)
    summary = json.loads((built.directory / "summary.json").read_text())
    assert summary["status"] == "failed"
    assert re.fullmatch(r"FloatingPointError: something of ours \(.*test_run.py, line \d+\)", summary["error"])
    assert "Traceback" in (built.directory / "run.log").read_text()
    assert (built.directory / "report.html").exists()
    assert run(built) == 0  # failed is retried


def test_parameters_that_are_not_finite_are_no_result(experiment: Callable[..., Experiment]) -> None:
    built = experiment("data.num_tasks=1", "protocol.updates_per_task=1", "algo.outer_lr=1e300", "algo.outer_optimizer=sgd")
    assert run(built) == 3
    assert np.isnan(np.load(built.directory / "accuracy_matrix.npy")[0, 1]).all()
    (built.directory / "summary.json").unlink()  # as if killed between the checkpoint and the summary
    assert run(built) == 3


def test_stopped_before_the_first_update_row_0_is_recorded_once(experiment: Callable[..., Experiment]) -> None:
    built = experiment()
    stop_at_once(built)
    stop_at_once(built)
    assert run(built) == 0
    assert [r["row"] for r in records(built.directory) if r["kind"] == "eval" and r["unit"] == 0] == [0]


def test_a_run_of_another_version_is_left_alone(tmp_path: Path, experiment: Callable[..., Experiment]) -> None:
    built = experiment(f"output_dir={tmp_path}")
    built.directory.mkdir(parents=True)
    text = '{"schema": 99, "status": "completed"}'
    (built.directory / "summary.json").write_text(text)
    with pytest.raises(StorageError, match=r"summary\.json: was written by another version \(schema 99; this one reads 1\)"):
        run(built)
    assert (built.directory / "summary.json").read_text() == text

"""Several processes on one run: the numbers of one process, one voice, and an end for all when one of them fails."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import filelock
import numpy as np
import pytest
import torch

from metacl_run.config.load import Experiment
from metacl_run.core.errors import ConfigError
from metacl_run.experiment import check_ranks, run
from metacl_run.runtime.ranks import Ranks
from tests.support.commands import Command, run_command
from tests.support.runs import ENVIRONMENT, assert_same_run, only_run, parameters
from tests.support.settings import SEQUENCE_LEARNERS, SMALL_SEQUENCES, TINY

DEADLINE_S = 120
"""After which processes that wait for each other are killed, and the test has failed."""
FEW_SHOT = [*TINY, "protocol.eval_episodes=5", "output_dir=runs", "progress=none"]
OML = [*SMALL_SEQUENCES, "output_dir=runs", "progress=none", "algo=oml", *SEQUENCE_LEARNERS["oml"]]
PROGRAM = """
import os, signal
from metacl_run.reporting import figures, report
from metacl_run.cli import main
from metacl_run.core.errors import DataError
from metacl_run.protocols.continual_meta.trainer import EpisodeTrainer
figures.draw = report.write = lambda _: None
original = EpisodeTrainer.step
def step(self, learner, unit):
    if os.environ["RANK"] == "{rank}" and unit == 2:
        {statement}
    return original(self, learner, unit)
EpisodeTrainer.step = step
main()
"""
"""The command line without figures and report, which would take most of the time, and with a fault in a rank's third unit."""


def faulty(rank: int, statement: str) -> str:
    return PROGRAM.format(rank=rank, statement=statement)


NO_FAULT = PROGRAM.format(rank="none", statement="pass")


def start_two_ranks(*overrides: str, cwd: Path, program: str = NO_FAULT) -> list[Command]:
    """Starts two processes as a launcher does, each with its rank in the environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [Command(*overrides, cwd=cwd, environment={**shared, "RANK": str(rank)}, program=program) for rank in range(2)]


def wait_for(ranks: list[Command]) -> list[Command]:
    until = time.monotonic() + DEADLINE_S
    try:
        for rank in ranks:
            rank.wait(max(0.0, until - time.monotonic()))
    finally:
        for rank in ranks:
            rank.kill()
    return ranks


def on_two_ranks(*overrides: str, cwd: Path, program: str = NO_FAULT) -> list[Command]:
    return wait_for(start_two_ranks(*overrides, cwd=cwd, program=program))


def assert_silent(rank: Command) -> None:
    assert (rank.stdout, rank.stderr) == ("", "")


# ---------------------------------------------------------------------------------------------------------- right numbers


@pytest.mark.parametrize(
    "overrides",
    [
        [*FEW_SHOT, "algo=maml", "seeds=[0,3]", "insight=full", "algo.replay=6"],
        pytest.param([*OML, "algo.meta_batch_size=3", "seeds=[0,3]", "protocol.joint_epochs=1"], marks=pytest.mark.slow),
    ],
    ids=["maml", "oml"],
)
def test_two_processes_give_the_numbers_of_one(
    overrides: list[str], experiment: Callable[..., Experiment], tmp_path: Path
) -> None:
    """A meta-batch of three: one rank has two episodes of it, the other one."""
    overrides = [*overrides, "gpu.precision=float64"]
    (tmp_path / "two").mkdir()
    first, second = on_two_ranks(*overrides, cwd=tmp_path / "two")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert_silent(second)
    built = experiment(tiny=overrides)
    assert run(built) == 0
    one, two = built.directory, only_run(tmp_path / "two")
    assert one.name == two.name  # the number of processes is not part of a run's id
    summaries = [json.loads((directory / "summary.json").read_text()) for directory in (one, two)]
    assert [summary["environment"]["ranks"] for summary in summaries] == [1, 2]
    for name, metric in summaries[0]["metrics"].items():
        assert summaries[1]["metrics"][name]["values"] == pytest.approx(metric["values"], abs=1e-9), name
    matrices = [np.load(directory / "accuracy_matrix.npy") for directory in (one, two)]
    np.testing.assert_allclose(matrices[1], matrices[0], rtol=1e-9, atol=1e-9)
    for x, y in zip(parameters(one), parameters(two), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-9)


# --------------------------------------------------------------------------------------------------- one run, one voice


@pytest.mark.slow
def test_failed_retried_shown_and_locked_out_as_one_process_would_be(tmp_path: Path) -> None:
    first, second = on_two_ranks(*FEW_SHOT, cwd=tmp_path, program=faulty(0, "raise DataError('a broken file')"))
    assert (first.returncode, second.returncode) == (1, 1)
    assert first.stderr == "metacl-run: a broken file\n"
    path = only_run(tmp_path) / "summary.json"
    summary = json.loads(path.read_text())
    assert (summary["status"], summary["error"]) == ("failed", "a broken file")

    first, second = on_two_ranks(*FEW_SHOT, cwd=tmp_path)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert_silent(second)
    assert json.loads(path.read_text())["status"] == "completed"
    before = path.stat().st_mtime_ns

    first, second = on_two_ranks(*FEW_SHOT, cwd=tmp_path)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert "this run has been computed before" in first.stdout
    assert_silent(second)
    assert path.stat().st_mtime_ns == before

    with filelock.FileLock(path.parent / ".lock"):
        first, second = on_two_ranks(*FEW_SHOT, "rerun=true", cwd=tmp_path)
    assert (first.returncode, second.returncode) == (1, 1)
    assert first.stderr.count("another process is computing this run") == 1
    assert_silent(second)


@pytest.mark.slow
def test_a_signal_to_any_rank_stops_all_and_the_same_command_continues(tmp_path: Path) -> None:
    work = [*FEW_SHOT, "protocol.updates_per_task=12", "protocol.eval_every=0"]
    for folder in ("stopped", "unbroken"):
        (tmp_path / folder).mkdir()
    running = start_two_ranks(*work, cwd=tmp_path / "stopped")
    until = time.monotonic() + DEADLINE_S
    while not any('"train"' in path.read_text() for path in tmp_path.glob("stopped/runs/*/*/*/metrics.jsonl")):
        time.sleep(0.02)
        assert time.monotonic() < until
        assert running[0].poll() is None
    running[1].send_signal(signal.SIGTERM)
    assert [rank.returncode for rank in wait_for(running)] == [130, 130]
    directory = only_run(tmp_path / "stopped")
    assert json.loads((directory / "summary.json").read_text())["status"] == "interrupted"
    assert 0 < torch.load(directory / "checkpoint.pt", weights_only=True)["content"]["unit"] < 24
    for folder in ("stopped", "unbroken"):
        assert [rank.returncode for rank in on_two_ranks(*work, cwd=tmp_path / folder)] == [0, 0]
    assert_same_run(directory, only_run(tmp_path / "unbroken"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["algo.inner_lrr=3"], "Did you mean algo.inner_lr?"),
        (["algo=er"], "protocol=online: learns one observation after another, which 2 processes cannot share."),
        pytest.param(
            ["data=split_omniglot", "data.root=nowhere", "data.download=false"],
            "Omniglot was not found",
            marks=pytest.mark.slow,
        ),
        pytest.param(["-m", "data.shots=1,2"], "2 processes compute one run together; sweeps", marks=pytest.mark.slow),
    ],
)
def test_a_mistake_is_printed_once_and_all_exit_with_1(overrides: list[str], message: str, tmp_path: Path) -> None:
    first, second = on_two_ranks("output_dir=runs", *overrides, cwd=tmp_path)
    assert (first.returncode, second.returncode) == (1, 1)
    assert first.stderr.count(message) == 1
    assert "Traceback" not in first.stderr
    assert_silent(second)
    assert not (tmp_path / "runs").exists()


def test_a_mistake_of_another_rank_alone_is_printed_by_rank_0(tmp_path: Path) -> None:
    program = (
        "import os, sys; sys.argv += ['algo=mamll'] * (os.environ['RANK'] == '1'); from metacl_run.cli import main; main()"
    )
    first, second = on_two_ranks(cwd=tmp_path, program=program)
    assert (first.returncode, second.returncode) == (1, 1)
    assert first.stderr.startswith("metacl-run: rank 1: algo=mamll: there is no such option.")
    assert_silent(second)


# --------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (TINY, r"algo.meta_batch_size=3: is shared out among the 4 processes of this run, so it must be at least 4\."),
        (["algo=oml"], r"algo.meta_batch_size=1: is shared out among the 4 processes"),
        (["gpu=cuda", "algo.meta_batch_size=4"], r"gpu.device=cuda: of 4 processes on one machine .* there are 2; gpu=cpu"),
        (["gpu=cuda", "gpu.engine=cuda_graph", "algo.meta_batch_size=4"], r"gpu.engine=cuda_graph: .* engine=vmap or compile"),
    ],
)
def test_processes_without_a_share_are_refused(
    overrides: list[str], message: str, experiment: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    if "gpu=cuda" not in overrides:
        overrides = [*overrides, "gpu=cpu"]
    with pytest.raises(ConfigError, match=message):
        check_ranks(experiment(tiny=overrides), Ranks(rank=0, count=4, local_rank=0, local_count=4))


def test_a_learner_without_meta_training_shares_its_sequences_all_the_same(experiment: Callable[..., Experiment]) -> None:
    built = experiment("algo=scratch", tiny=[])
    assert built.algo.meta_batch_size < 4
    built.protocol.check_ranks(built.algo, 4)


def test_a_launcher_that_is_half_set_up_is_one_message(tmp_path: Path) -> None:
    result = run_command(cwd=tmp_path, environment={"WORLD_SIZE": "2"})
    assert result.returncode == 1
    assert result.stderr.startswith("metacl-run: WORLD_SIZE=2: the processes of this run cannot be joined (KeyError: 'RANK'")


# -------------------------------------------------------------------------------------------------- nobody left waiting


def test_a_rank_that_is_killed_ends_all(tmp_path: Path) -> None:
    first, second = on_two_ranks(*FEW_SHOT, cwd=tmp_path, program=faulty(1, "os.kill(os.getpid(), signal.SIGKILL)"))
    assert (first.returncode, second.returncode) == (1, -signal.SIGKILL)
    assert "by peer" in first.stderr  # closed or reset
    assert json.loads((only_run(tmp_path) / "summary.json").read_text())["status"] == "failed"


@pytest.mark.slow
def test_torchrun_runs_and_reports_the_rank_that_failed(tmp_path: Path) -> None:
    def torchrun(program: str, *overrides: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "program.py").write_text(program)
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "program.py"]
        command = [*launch, *FEW_SHOT, *overrides]
        return subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=DEADLINE_S)

    result = torchrun(NO_FAULT)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("completed  maml") == 1
    assert json.loads((only_run(tmp_path) / "summary.json").read_text())["environment"]["ranks"] == 2
    result = torchrun(faulty(1, "raise ZeroDivisionError('only here')"), "rerun=true")
    assert result.returncode == 1
    assert "rank      : 1" in result.stderr  # torchrun's report has both ranks; its times are whole seconds
    assert "ZeroDivisionError: only here" in result.stderr

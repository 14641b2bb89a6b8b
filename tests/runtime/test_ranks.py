"""Several processes on one run: the numbers of one process, one voice, nobody left waiting when one of them fails."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import filelock
import numpy as np
import pytest
import torch
import torch.distributed as dist

from metacl_run.cli import command as command_line
from metacl_run.config.load import Experiment
from metacl_run.core.errors import ConfigError
from metacl_run.experiment import run
from metacl_run.inner.engine import Engine
from metacl_run.inner.shards import WHOLE, Shards
from metacl_run.runtime.ranks import Ranks
from tests.support.commands import Command, run_command
from tests.support.runs import ENVIRONMENT, assert_same_run, only_run, parameters, records
from tests.support.settings import SEQUENCE_LEARNERS, SMALL_SEQUENCES, TINY

DEADLINE_S = 120
"""After which processes that wait for each other are killed, and the test has failed."""
FEW_SHOT = [*TINY, "protocol.eval_episodes=5", "output_dir=runs", "progress=none"]
OML = ["algo=oml", *SEQUENCE_LEARNERS["oml"]]
SEQUENCES = [*SMALL_SEQUENCES, "output_dir=runs", "progress=none"]
PROGRAM = """
import os, signal
from metacl_run import finished_run  # brings torch, so what ranks.py says to it before that is said by `Together`
from metacl_run.cli import main
from metacl_run.core.errors import DataError
from metacl_run.protocols.continual_meta.trainer import EpisodeTrainer
finished_run.figures.draw = finished_run.report.write = lambda _: None
{fault}
main()
"""
"""The command line without what would take most of the time here and is tested elsewhere: figures and report."""
FAULT = """
original = EpisodeTrainer.step
def step(self, learner, unit):
    if os.environ["RANK"] == "{rank}" and unit == 2:
        {statement}
    return original(self, learner, unit)
EpisodeTrainer.step = step
"""


class Ended(NamedTuple):
    """How one process ended."""

    status: int
    out: str
    err: str


class Together:
    """Two processes as a launcher starts them, each with its rank in the environment. `fault` goes into their program."""

    def __init__(self, *overrides: str, cwd: Path, fault: str = "") -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        shared = {"WORLD_SIZE": "2", "TORCH_CPP_LOG_LEVEL": "ERROR", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        self.processes = [
            Command(*overrides, cwd=cwd, environment={**shared, "RANK": str(rank)}, program=PROGRAM.format(fault=fault))
            for rank in range(2)
        ]

    def wait(self) -> list[Ended]:
        until = time.monotonic() + DEADLINE_S
        try:
            statuses = [process.wait(max(0.0, until - time.monotonic())) for process in self.processes]
            return [Ended(status, each.stdout, each.stderr) for status, each in zip(statuses, self.processes, strict=True)]
        finally:
            for process in self.processes:
                process.kill()


def together(*overrides: str, cwd: Path, fault: str = "") -> list[Ended]:
    return Together(*overrides, cwd=cwd, fault=fault).wait()


def failing(rank: int, statement: str) -> str:
    """A fault of one rank in its third meta-update."""
    return FAULT.format(rank=rank, statement=statement)


def assert_silent(ended: Ended) -> None:
    assert (ended.out, ended.err) == ("", "")


# ------------------------------------------------------------------------------------------------------------ the shards


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("size", [7, 8, 16])
def test_shards_cover_a_batch_once_and_evenly(count: int, size: int) -> None:
    shares = [Shards(rank=rank, count=count) for rank in range(count)]
    batch = torch.arange(size)
    taken = [each.take(batch) for each in shares]
    assert torch.cat(taken).tolist() == batch.tolist()
    sizes = [len(each) for each in taken]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) == shares[0].largest(size)


def test_a_batch_smaller_than_the_ranks_is_computed_by_all() -> None:
    assert Shards(rank=2, count=4).of(3) is WHOLE
    assert Shards(rank=2, count=4).of(4).count == 4


@pytest.mark.parametrize("kind", ["loop", "vmap"])
def test_an_engine_computes_its_own_share_in_one_flat_sum_of_each_dtype(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranks one after another in this process: each adds what it has to what those before it had."""
    batch, count = torch.randn(5, 3, dtype=torch.float64), 2
    seen: list[list[float]] = []
    sums: dict[int, torch.Tensor] = {}

    def function(row: torch.Tensor) -> dict[str, torch.Tensor]:
        if kind == "loop":
            seen[-1].append(row[0].item())
        return {"square": row**2, "first": row[0], "single": row.float().sum()}

    def sum_so_far(own: torch.Tensor) -> torch.Tensor:
        assert own.dim() == 1
        sums[calls] = own + sums.get(calls, 0)
        advance()
        return sums[calls - 1]

    def advance() -> None:
        nonlocal calls
        calls += 1

    monkeypatch.setattr("metacl_run.inner.shards.sum_over_ranks", sum_so_far)
    for rank in range(count):
        calls = 0
        seen.append([])
        engine = Engine(kind=kind, chunk=2, shards=Shards(rank=rank, count=count))  # type: ignore[arg-type]
        mean, mapped = engine.mean(function, batch), engine.map(function, batch)
        assert calls == 4  # two dtypes, for the mean and for the map
    if kind == "loop":
        assert [len(each) for each in seen] == [4, 6]  # two of five and three of five, twice
    expected = Engine(kind="loop").map(lambda row: {"square": row**2, "first": row[0], "single": row.float().sum()}, batch)
    for name, values in expected.items():
        torch.testing.assert_close(mapped[name], values, rtol=0, atol=0)
        torch.testing.assert_close(mean[name], values.mean(0))


# ---------------------------------------------------------------------------------------------------------- right numbers


@pytest.mark.parametrize(
    ("small", "overrides"),
    [
        (FEW_SHOT, ["algo=maml", "seeds=[0,3]", "insight=full", "algo.replay=6"]),
        (FEW_SHOT, ["algo=reptile", "algo.carry_moments=true", "algo.eval_inner_steps=5", "gpu.engine=loop"]),
        (
            SEQUENCES,
            ["algo=oml", *SEQUENCE_LEARNERS["oml"], "algo.meta_batch_size=3", "seeds=[0,3]", "protocol.joint_epochs=1"],
        ),
    ],
    ids=["maml", "reptile", "oml"],
)
def test_two_processes_give_the_numbers_of_one(
    small: list[str], overrides: list[str], experiment: Callable[..., Experiment], tmp_path: Path
) -> None:
    """A meta-batch of three: one rank has two episodes of it, the other one."""
    given = [*small, *overrides, "gpu.precision=float64"]
    (tmp_path / "two").mkdir()
    first, second = together(*given, cwd=tmp_path / "two")
    assert (first.status, second.status) == (0, 0), first.err + second.err
    assert_silent(second)
    built = experiment(tiny=given)
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
    for x, y in zip(records(one), records(two), strict=True):
        assert_close(x, y)


def assert_close(a: Any, b: Any) -> None:
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        a, b = list(a.values()), list(b.values())
    if isinstance(a, list):
        for x, y in zip(a, b, strict=True):
            assert_close(x, y)
    elif isinstance(a, float):
        assert b == pytest.approx(a, rel=1e-7, abs=1e-9)
    else:
        assert a == b


# --------------------------------------------------------------------------------------------------- one run, one voice


def test_failed_retried_shown_and_locked_out_as_one_process_would_be(tmp_path: Path) -> None:
    first, second = together(*FEW_SHOT, cwd=tmp_path, fault=failing(1, "raise ZeroDivisionError('only here')"))
    assert (first.status, second.status) == (1, 1)
    assert "rank 1: ZeroDivisionError: only here" in first.err
    assert "Traceback" not in first.err
    assert second.err.startswith("metacl-run, rank 1: Traceback")
    path = only_run(tmp_path) / "summary.json"
    summary = json.loads(path.read_text())
    assert (summary["status"], summary["error"]) == ("failed", "rank 1: ZeroDivisionError: only here")

    first, second = together(*FEW_SHOT, cwd=tmp_path)
    assert (first.status, second.status) == (0, 0), first.err
    assert_silent(second)
    assert json.loads(path.read_text())["status"] == "completed"
    before = path.stat().st_mtime_ns

    first, second = together(*FEW_SHOT, cwd=tmp_path)
    assert (first.status, second.status) == (0, 0), first.err
    assert "this run has been computed before" in first.out
    assert_silent(second)
    assert path.stat().st_mtime_ns == before

    with filelock.FileLock(path.parent / ".lock"):
        first, second = together(*FEW_SHOT, "rerun=true", cwd=tmp_path)
    assert (first.status, second.status) == (1, 1)
    assert first.err.count("another process is computing this run") == 1
    assert_silent(second)


def test_a_signal_to_any_rank_stops_all_and_the_same_command_goes_on(tmp_path: Path) -> None:
    work = [*FEW_SHOT, "protocol.updates_per_task=30", "protocol.eval_every=0"]
    for folder in ("stopped", "unbroken"):
        (tmp_path / folder).mkdir()
    running = Together(*work, cwd=tmp_path / "stopped")
    until = time.monotonic() + DEADLINE_S
    while not any('"train"' in path.read_text() for path in tmp_path.glob("stopped/runs/*/*/*/metrics.jsonl")):
        time.sleep(0.02)
        assert time.monotonic() < until
        assert running.processes[0].poll() is None
    running.processes[1].send_signal(signal.SIGTERM)
    assert [ended.status for ended in running.wait()] == [130, 130]
    directory = only_run(tmp_path / "stopped")
    assert json.loads((directory / "summary.json").read_text())["status"] == "interrupted"
    assert 0 < torch.load(directory / "checkpoint.pt", weights_only=True)["content"]["unit"] < 60
    for folder in ("stopped", "unbroken"):
        assert [ended.status for ended in together(*work, cwd=tmp_path / folder)] == [0, 0]
    assert_same_run(directory, only_run(tmp_path / "unbroken"))


def test_a_run_that_diverges_says_so_once_and_all_exit_with_3(tmp_path: Path) -> None:
    first, second = together(*FEW_SHOT, "algo.inner_lr=1e30", cwd=tmp_path)
    assert (first.status, second.status) == (3, 3)
    assert_silent(second)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["algo.inner_lrr=3"], "Did you mean algo.inner_lr?"),
        (["data=split_omniglot", "data.root=nowhere", "data.download=false"], "Omniglot was not found"),
    ],
)
def test_a_mistake_is_said_once_and_all_exit_with_1(overrides: list[str], said: str, tmp_path: Path) -> None:
    first, second = together("output_dir=runs", *overrides, cwd=tmp_path)
    assert (first.status, second.status) == (1, 1)
    assert first.err.count(said) == 1
    assert "Traceback" not in first.err
    assert_silent(second)


# --------------------------------------------------------------------------------------------------------------- refusals

LEADER = Ranks(rank=0, count=4, local_rank=0, local_count=4, notes=dist.HashStore())
"""Of four; the others are never spoken to here."""


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (TINY, r"algo.meta_batch_size=3: is shared out among the 4 processes of this run, so it must be at least 4\."),
        (["algo=oml"], r"algo.meta_batch_size=1: is shared out among the 4 processes"),
        (["algo=er"], r"protocol=online: learns one observation after another, which 4 processes cannot share\."),
    ],
)
def test_processes_without_a_share_are_refused_before_any_work(
    overrides: list[str], said: str, experiment: Callable[..., Experiment]
) -> None:
    built = experiment(tiny=overrides)
    with pytest.raises(ConfigError, match=said):
        run(built, LEADER)
    assert not built.directory.exists()


def test_what_meta_trains_nothing_shares_its_sequences_all_the_same(experiment: Callable[..., Experiment]) -> None:
    built = experiment("algo=scratch", tiny=[])
    assert built.algo.meta_batch_size < 4
    built.protocol.check_ranks(built.algo, 4)


def test_more_processes_than_cuda_devices_are_refused(
    experiment: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    built = experiment("gpu=cuda", "algo.meta_batch_size=4")
    with pytest.raises(ConfigError, match=r"gpu.device=cuda: of 4 processes on one machine .* but there are 2; gpu=cpu"):
        run(built, LEADER)


def test_a_captured_step_is_refused(experiment: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    built = experiment("gpu=cuda", "gpu.engine=cuda_graph", "algo.meta_batch_size=4")
    with pytest.raises(ConfigError, match=r"gpu.engine=cuda_graph: .* use engine=vmap or compile"):
        run(built, LEADER)


@pytest.mark.parametrize(
    ("overrides", "multirun"),
    [(["data.shots=1,2"], True), (["search.trials=2", "data.shots=1,2"], True), (["table=maml_sinusoid"], False)],
)
def test_what_starts_processes_of_its_own_is_refused(overrides: list[str], multirun: bool) -> None:
    with pytest.raises(ConfigError, match=f"^{LEADER.count} processes compute one run together; sweeps, searches and tables"):
        command_line(overrides, None, LEADER, multirun=multirun)


def test_a_launcher_that_is_half_set_up_is_one_message(tmp_path: Path) -> None:
    ended = run_command(cwd=tmp_path, environment={"WORLD_SIZE": "2"})
    assert ended.returncode == 1
    assert ended.stderr.startswith("metacl-run: RANK=: with WORLD_SIZE set, it must be a whole number from 0 to 1.")


# -------------------------------------------------------------------------------------------------- nobody left waiting


def test_a_fault_on_rank_0_ends_all(tmp_path: Path) -> None:
    first, second = together(*FEW_SHOT, cwd=tmp_path, fault=failing(0, "raise DataError('a broken file')"))
    assert (first.status, second.status) == (1, 1)
    assert first.err == "metacl-run: a broken file\n"
    assert_silent(second)


def test_a_rank_that_is_killed_ends_all(tmp_path: Path) -> None:
    first, second = together(*FEW_SHOT, cwd=tmp_path, fault=failing(1, "os.kill(os.getpid(), signal.SIGKILL)"))
    assert (first.status, second.status) == (1, -signal.SIGKILL)
    assert first.err.startswith("metacl-run: another process of this run is gone, or does not answer")
    assert json.loads((only_run(tmp_path) / "summary.json").read_text())["status"] == "failed"


# ------------------------------------------------------------------------------------------------------------- torchrun


def torchrun(*program: str, cwd: Path) -> Ended:
    """A time limit asks it to stop, and it then ends what it started."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", *program]
    process = subprocess.Popen(launch, cwd=cwd, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = process.communicate(timeout=DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.wait(timeout=60)
        raise
    return Ended(process.returncode, out, err)


def test_torchrun_runs_and_tells_what_one_rank_alone_has_against_it(tmp_path: Path) -> None:
    ended = torchrun("-m", "metacl_run", *FEW_SHOT, cwd=tmp_path)
    assert ended.status == 0, ended.err
    assert ended.out.count("report.html") == 1
    assert json.loads((only_run(tmp_path) / "summary.json").read_text())["environment"]["ranks"] == 2
    program = tmp_path / "faulty.py"
    program.write_text(PROGRAM.format(fault=failing(1, "raise DataError('a broken file')")))
    ended = torchrun(str(program), *FEW_SHOT, "rerun=true", cwd=tmp_path)
    assert ended.status != 0
    assert "metacl-run: rank 1: a broken file" in ended.err
    assert "stopping after" not in ended.err
    assert json.loads((only_run(tmp_path) / "summary.json").read_text())["error"] == "rank 1: a broken file"

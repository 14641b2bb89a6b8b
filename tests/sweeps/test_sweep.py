"""What a sweep starts, what it leaves alone, and what it says: with a launcher that only pretends."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import filelock
import pytest

from metacl_run.cli import command
from metacl_run.core.errors import ConfigError, StorageError
from metacl_run.core.exit_status import COMPLETED, DIVERGED, FAILED, INTERRUPTED
from metacl_run.core.variables import PLACE_ON_GPU
from metacl_run.reporting.report_stamp import stamp
from metacl_run.storage.run_files import CONFIG, LOCK, METRICS, SCHEMA, SUMMARY
from metacl_run.sweeps import gpus, sweep
from metacl_run.sweeps.job import BUSY, NOT_STARTED, Job, JobResult, plan
from metacl_run.sweeps.listing import listing
from tests.support.settings import TINY


def jobs(root: Path, count: int) -> list[Job]:
    return [Job((f"seeds=[{i}]", "algo=maml"), root / str(i)) for i in range(count)]


def leave(directory: Path, status: str, error: str | None = None, values: Sequence[float] = ()) -> None:
    """What a run that has ended leaves behind, as far as a sweep looks at it."""
    directory.mkdir(parents=True, exist_ok=True)
    head = {"schema": SCHEMA, "status": status, "error": error, "config": {}, "score": "accuracy"}
    metrics = {"accuracy": {"mean": sum(values) / len(values), "values": values}} if values else {}
    (directory / SUMMARY).write_text(json.dumps({**head, "seeds": list(range(len(values))), "metrics": metrics}))
    drawn = stamp(directory)
    (directory / "report.html").write_text(f'<meta name="metacl-run-drawn" content="{drawn}">')


class Pretender:
    """A launcher that completes every job but those it is told to end otherwise, and remembers what it was given."""

    def __init__(self, otherwise: dict[int, JobResult] | None = None) -> None:
        self.otherwise = otherwise or {}
        self.calls: list[tuple[list[str], bool]] = []

    def __call__(self, jobs: Sequence[Job], *, waits: bool) -> list[JobResult]:
        self.calls.append(([job.directory.name for job in jobs], waits))
        results = []
        for job in jobs:
            result = self.otherwise.pop(int(job.directory.name), JobResult(COMPLETED))
            if result.status == COMPLETED:
                leave(job.directory, "completed")
            results.append(result)
        return results


def test_a_second_start_runs_only_what_is_missing(tmp_path: Path) -> None:
    planned = jobs(tmp_path, 4)
    launch = Pretender({1: JobResult(FAILED, "no memory"), 2: JobResult(DIVERGED, "loss is not finite")})
    leave(planned[0].directory, "completed")
    results = sweep.run_jobs(planned, launch)
    assert launch.calls == [(["1", "2", "3"], False)]
    assert [result.status for result in results] == [COMPLETED, FAILED, DIVERGED, COMPLETED]
    leave(planned[2].directory, "diverged", "loss is not finite")  # as a real run does
    assert sweep.exit_status(results) == 3
    results = sweep.run_jobs(planned, launch)
    assert launch.calls[1:] == [(["1"], False)]  # a diverged run has ended; the same numbers would come out again
    assert [result.status for result in results] == [COMPLETED, COMPLETED, DIVERGED, COMPLETED]
    assert results[2].error == "loss is not finite"
    assert len(sweep.run_jobs([job._replace(rerun=True) for job in planned], launch)) == 4
    assert launch.calls[-1] == (["0", "1", "2", "3"], False)


def test_a_completed_run_without_its_report_is_started_to_draw_it(tmp_path: Path) -> None:
    planned, launch = jobs(tmp_path, 2), Pretender()
    for job in planned:
        leave(job.directory, "completed")
    (planned[1].directory / "report.html").unlink()
    sweep.run_jobs(planned, launch)
    assert launch.calls == [(["1"], False)]


def test_what_a_fault_kept_from_running_is_a_failure_and_not_an_interruption() -> None:
    fault = "the launcher failed: ValueError: n_jobs == 0 has no meaning"
    assert sweep.exit_status([JobResult(COMPLETED), JobResult(NOT_STARTED, fault)]) == 1
    assert sweep.exit_status([JobResult(INTERRUPTED, fault)]) == 1
    assert sweep.exit_status([JobResult(NOT_STARTED), JobResult(NOT_STARTED, fault)]) == 130
    assert sweep.exit_status([JobResult(COMPLETED), JobResult(INTERRUPTED)]) == 130
    assert sweep.exit_status([]) == 0


def test_an_output_directory_that_cannot_be_written_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "runs", "/proc/nobody/can/write/here"):
        with pytest.raises(StorageError, match="Choose another place with output_dir="):
            command(["seeds=[0],[1]", f"output_dir={place}"], None, multirun=True)


def test_to_ask_how_far_a_sweep_is_succeeds_however_far_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["seeds=[0],[1]", f"output_dir={tmp_path}", "sweep.status=true"]
    assert command(given, None, multirun=True) == 0
    assert "sweep of 2: 2 not started" in capsys.readouterr().out


def test_runs_of_another_process_come_last_and_are_waited_for(tmp_path: Path) -> None:
    launch = Pretender({0: JobResult(BUSY, "another process")})
    results = sweep.run_jobs(jobs(tmp_path, 3), launch)
    assert launch.calls == [(["0", "1", "2"], False), (["0"], True)]
    assert [result.status for result in results] == [COMPLETED] * 3
    assert sweep.exit_status(results) == 0


def test_a_sweep_that_is_stopped_starts_nothing_more(tmp_path: Path) -> None:
    stopped = {0: JobResult(BUSY), 1: JobResult(INTERRUPTED, sweep_stopped=True), 2: JobResult(NOT_STARTED)}
    launch = Pretender(stopped)
    results = sweep.run_jobs(jobs(tmp_path, 3), launch)
    assert len(launch.calls) == 1
    assert sweep.exit_status(results) == 130


def test_a_launcher_that_fails_takes_nothing_with_it(tmp_path: Path) -> None:
    planned = jobs(tmp_path, 3)

    def launch(given: Sequence[Job], *, waits: bool) -> list[JobResult]:
        leave(given[0].directory, "completed")
        given[1].directory.mkdir()
        (given[1].directory / CONFIG).write_text("")
        raise RuntimeError("a worker was killed")

    results = sweep.run_jobs(planned, launch)
    assert [result.status for result in results] == [COMPLETED, INTERRUPTED, NOT_STARTED]
    assert results[0].error is None
    assert results[1].error == "the launcher failed: RuntimeError: a worker was killed"


def test_status_is_read_from_the_runs(tmp_path: Path) -> None:
    planned = jobs(tmp_path, 7)
    leave(planned[0].directory, "completed")
    leave(planned[1].directory, "failed", "data are missing")
    leave(planned[2].directory, "diverged")
    planned[3].directory.mkdir()
    (planned[3].directory / CONFIG).write_text("")  # killed before it could say how it results
    (planned[4].directory).mkdir()
    leave(planned[6].directory, "completed")
    (planned[6].directory / SUMMARY).write_text('{"schema": 1, "sta')
    (planned[6].directory / CONFIG).write_text("")
    with filelock.FileLock(planned[4].directory / LOCK):
        results = sweep.stored_results(planned)
    statuses = [COMPLETED, FAILED, DIVERGED, INTERRUPTED, BUSY, NOT_STARTED, INTERRUPTED]
    assert [result.status for result in results] == statuses
    assert results[1].error == "data are missing"
    assert sweep.exit_status(results) != 0
    text = listing(planned, results)
    assert text.splitlines()[:3] == [
        "sweep of 7: 2 interrupted, 1 completed, 1 failed, 1 diverged, 1 running, 1 not started",
        "  all with algo=maml",
        f"  completed    seeds=[0]  {planned[0].directory}",
    ]
    assert f"  failed       seeds=[1]  {planned[1].directory}\n                 data are missing\n" in text
    assert text.endswith("rerun=true with the command of one run computes a diverged one again")


def test_a_finished_sweep_of_one_says_no_more_than_that(tmp_path: Path) -> None:
    assert listing(jobs(tmp_path, 1), [JobResult(COMPLETED)]) == (
        f"sweep of 1: 1 completed\n  completed    seeds=[0] algo=maml  {tmp_path / '0'}"
    )


def test_what_other_code_computed_is_said(tmp_path: Path) -> None:
    first, second = jobs(tmp_path, 2)
    planned = [first._replace(changed=("mine", "helpers")), second]
    lines = listing(planned, [JobResult(COMPLETED), JobResult(COMPLETED)]).splitlines()
    assert [line.strip() for line in lines].count("computed before mine, helpers was changed") == 1
    assert lines[-1] == "rerun=true with the command of one run computes one of changed code again"
    stopped = listing(planned, [JobResult(INTERRUPTED), JobResult(COMPLETED)])
    assert "the same command again" not in stopped  # it would be refused again
    assert "the same command again" in listing(planned, [JobResult(COMPLETED), JobResult(INTERRUPTED)])


def test_scores_of_completed_runs_stand_in_one_column(tmp_path: Path) -> None:
    planned = jobs(tmp_path, 3)
    for job, values in zip(planned, ([0.5, 0.7], [0.25], list[float]()), strict=True):
        leave(job.directory, "completed" if values else "failed", values=values)
    assert listing(planned, sweep.stored_results(planned)).splitlines()[2:5] == [
        f"  completed    seeds=[0]  accuracy 0.600 (0.500, 0.700)  {planned[0].directory}",
        f"  completed    seeds=[1]  accuracy 0.250                 {planned[1].directory}",
        f"  failed       seeds=[2]                                 {planned[2].directory}",
    ]


def test_an_interrupted_run_says_how_far_it_is(tmp_path: Path) -> None:
    planned = jobs(tmp_path, 3)
    leave(planned[0].directory, "interrupted")
    summary = json.loads((planned[0].directory / SUMMARY).read_text())
    stopped = {"protocol_kind": "online", "units_per_task": 900, "task_names": [["a", "b"]], "unit_name": "observation"}
    (planned[0].directory / SUMMARY).write_text(json.dumps(summary | stopped))
    planned[1].directory.mkdir()  # killed
    (planned[1].directory / CONFIG).write_text("")
    for job in planned[:2]:
        records = '{"kind": "eval", "unit": 0}\n{"kind": "train", "unit": 1234}\n{"kind": "tra'  # killed while it wrote
        (job.directory / METRICS).write_text(records)
    planned[2].directory.mkdir()  # killed before its first record
    (planned[2].directory / CONFIG).write_text("")
    assert listing(planned, sweep.stored_results(planned)).splitlines()[2:5] == [
        f"  interrupted  seeds=[0]  after 1,234 of 1,800 observations  {planned[0].directory}",
        f"  interrupted  seeds=[1]  after 1,234 units of work          {planned[1].directory}",
        f"  interrupted  seeds=[2]                                     {planned[2].directory}",
    ]


def test_waiting_ends_when_the_other_process_lets_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = filelock.FileLock(tmp_path / LOCK)
    lock.acquire()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            lock.release()

    sweep.wait_until_free(tmp_path, sleep)
    assert len(slept) == 3
    assert capsys.readouterr().out == f"waiting for another process that computes {tmp_path}\n"


# -------------------------------------------------------------------------------------------------------------------- plan


def test_the_plan_names_every_mistake_of_every_job_and_starts_nothing(tmp_path: Path) -> None:
    output = f"output_dir={tmp_path}"
    with pytest.raises(ConfigError) as caught:
        plan([[*TINY, output], ["algo.inner_lr=0", output], ["algo.inner_lr=0", "seeds=[1]", output], ["seeds=[-1]"]], None)
    said = str(caught.value).splitlines()
    assert said[0] == "nothing was started, since these jobs cannot run"
    assert said[1:3] == [f"job algo.inner_lr=0 {output}", f"job algo.inner_lr=0 seeds=[1] {output}"]
    assert said[3].startswith("  algo.inner_lr=0")
    assert said[4] == "job seeds=[-1]"
    assert not list(tmp_path.iterdir())


def test_jobs_that_are_the_same_run_are_one(tmp_path: Path) -> None:
    output = f"output_dir={tmp_path}"
    planned = plan([[output], [output, "progress=none"], [output, "seeds=[1]"]], None)
    assert [job.overrides for job in planned] == [(output,), (output, "seeds=[1]")]
    assert planned[0].directory.parts[-3:-1] == ("split_glyphs", "maml")


# -------------------------------------------------------------------------------------------------------------------- GPUs


def test_jobs_spread_over_the_gpus_that_may_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")

    def name(environment: dict[str, str]) -> str:
        return environment["CUDA_VISIBLE_DEVICES"]

    with gpus.one_gpu(tmp_path) as first:
        with gpus.one_gpu(tmp_path) as second, gpus.one_gpu(tmp_path) as third:
            assert [name(environment) for environment in (first, second, third)] == ["2", "5", "2"]
            assert [environment[PLACE_ON_GPU] for environment in (first, second, third)] == ["0", "0", "1"]
        with gpus.one_gpu(tmp_path) as fourth:
            assert name(fourth) == "5"


@pytest.mark.parametrize("devices", ["", "-1", "-1,3"])
def test_without_gpus_nothing_is_set(devices: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices)
    with gpus.one_gpu(tmp_path) as environment:
        assert environment == {}
    assert not list(tmp_path.iterdir())


LISTED = (
    r"GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1a2b-3c)\nGPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-9d)\n"
    r"  MIG 3g.40gb     Device  0: (UUID: MIG-7f-0)\n  MIG 3g.40gb     Device  1: (UUID: MIG-7f-1)\n"
)
"""As `nvidia-smi -L` prints it; the second card is divided."""


def test_gpus_are_asked_for_where_nothing_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f'#!/bin/sh\n[ "$*" = "-L" ] && printf "{LISTED}"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert gpus.visible() == ["GPU-1a2b-3c", "MIG-7f-0", "MIG-7f-1"]

"""Sweeps for real: through launchers, killed half-way, two at once."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import multiprocessing.forkserver as forkserver
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metacl_run.config.compose import experiment_of
from metacl_run.core.exit_status import COMPLETED, FAILED
from metacl_run.storage.lock import is_locked
from metacl_run.storage.run_state import state
from metacl_run.sweeps import process
from metacl_run.sweeps import sweep as sweeps
from metacl_run.sweeps.job import Job, JobResult
from metacl_run.sweeps.launching import launch_jobs
from tests.support.runs import ENVIRONMENT, metacl
from tests.support.settings import TINY

LONGER = ["protocol.updates_per_task=30", "protocol.checkpoint_every=0", "protocol.eval_every=0"]


def units(directory: Path) -> list[int]:
    """Of the training records: strictly rising where the run was computed once, however often it was broken."""
    lines = (directory / "metrics.jsonl").read_text().splitlines()
    return [record["unit"] for record in map(json.loads, lines) if record["kind"] == "train"]


def whole(root: Path, count: int) -> list[Path]:
    """The runs under a folder, all completed, each computed once."""
    found = sorted(path.parent for path in root.rglob("summary.json"))
    assert len(found) == count
    for directory in found:
        assert state(directory) == "completed"
        assert units(directory) == sorted(set(units(directory)))
    return found


def start(*overrides: str, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "metacl_run", "-m", *TINY, *LONGER, "output_dir=runs", "progress=plain", *overrides]
    return subprocess.Popen(
        command, cwd=cwd, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )


def wait_until(condition: object, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_a_job_that_is_killed_says_by_what(tmp_path: Path) -> None:
    overrides = [*TINY, "protocol.updates_per_task=100000", f"output_dir={tmp_path}", "progress=none"]
    directory = experiment_of(overrides, None).directory

    def kill() -> bool:
        if (directory / "metrics.jsonl").exists():
            for child in multiprocessing.active_children():
                os.kill(child.pid, signal.SIGKILL)  # type: ignore[arg-type]
        return False

    ended = process.run_in_process(overrides, directory, None, environment={}, output=None, should_stop=kill)
    assert ended == JobResult(FAILED, "its process was killed by SIGKILL (out of memory?)")


def test_a_job_outlives_the_server_that_forked_it(tmp_path: Path) -> None:
    overrides = [*TINY, *LONGER, f"output_dir={tmp_path}", "progress=none"]
    directory = experiment_of(overrides, None).directory

    def kill() -> bool:
        if (directory / "metrics.jsonl").exists() and forkserver._forkserver._forkserver_pid is not None:
            os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)
            forkserver._forkserver._forkserver_pid = None  # the next job has another
        return False

    ended = process.run_in_process(overrides, directory, None, environment={}, output=None, should_stop=kill)
    assert forkserver._forkserver._forkserver_pid is None
    assert ended == JobResult(COMPLETED)
    whole(tmp_path, 1)


def test_a_job_whose_options_have_changed_since_it_was_planned_is_not_begun(tmp_path: Path) -> None:
    mine = tmp_path / "options" / "algo" / "mine.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("defaults: [maml]\ninner_lr: 0.3\n")
    overrides, folder = [*TINY, "algo=mine", f"output_dir={tmp_path / 'runs'}"], str(tmp_path / "options")
    directory = experiment_of(overrides, folder).directory
    mine.write_text("defaults: [maml]\ninner_lr: 0.9\n")
    ended = process.run_here(overrides, directory, folder)
    assert ended.status == FAILED
    assert ended.error is not None
    assert ended.error.startswith(f"{directory}: its options have changed since it was planned")
    assert not (tmp_path / "runs").exists()


def test_a_job_without_its_data_leaves_no_directory(tmp_path: Path) -> None:
    overrides = ["data=split_omniglot", f"data.root={tmp_path}", "data.download=false", f"output_dir={tmp_path / 'runs'}"]
    directory = experiment_of(overrides, None).directory
    ended = sweeps.compute(overrides, directory, None, shares_terminal=False)
    assert (ended.status, ended.data_missing) == (FAILED, True)
    assert ended.error is not None
    assert ended.error.startswith("Omniglot was not found")
    assert not directory.exists()


def test_a_job_has_its_environment_and_its_own_output(tmp_path: Path) -> None:
    overrides = [*TINY, f"output_dir={tmp_path}", "output_dir=${oc.env:WHERE}", "progress=plain"]
    output = tmp_path / "logs" / "output.log"
    directory = experiment_of(TINY, None).directory
    ended = process.run_in_process(overrides, directory, None, environment={"WHERE": str(tmp_path / "there")}, output=output)
    assert ended.status == COMPLETED
    assert len(whole(tmp_path / "there", 1)) == 1
    assert "after task 2/2" in output.read_text()


@pytest.mark.slow
def test_a_launcher_killed_half_way_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    sweep = start("seeds=[0],[1],[2]", cwd=tmp_path)
    root = tmp_path / "runs" / "split_glyphs" / "maml"
    wait_until(lambda: len(list(root.glob("*/summary.json"))) == 1 and len(list(root.glob("*/checkpoint.pt"))) == 2)
    (finished,) = [path.parent for path in root.glob("*/summary.json")]
    written = (finished / "summary.json").stat().st_mtime_ns
    sweep.kill()
    sweep.communicate()
    wait_until(lambda: not any(is_locked(directory) for directory in root.iterdir()))  # the job notices, and stops
    (begun,) = [directory for directory in root.iterdir() if directory != finished]
    assert state(begun) == "interrupted"
    status = metacl(*LONGER, "output_dir=runs", "seeds=[0],[1],[2]", "sweep.status=true", "-m", cwd=tmp_path)
    assert "sweep of 3: 1 completed, 1 interrupted, 1 not started" in status.stdout, status.stdout + status.stderr
    assert status.returncode == 0

    again = start("seeds=[0],[1],[2]", cwd=tmp_path)
    printed, _ = again.communicate(timeout=200)
    assert again.returncode == 0, printed
    assert "sweep of 3: 3 completed" in printed
    whole(root, 3)
    assert (finished / "summary.json").stat().st_mtime_ns == written
    unbroken = metacl(
        *LONGER, "output_dir=alone", f"seeds={json.loads((begun / 'summary.json').read_text())['seeds']}", cwd=tmp_path
    )
    assert unbroken.returncode == 0, unbroken.stderr
    (alone,) = whole(tmp_path / "alone", 1)
    np.testing.assert_array_equal(*(np.load(each / "accuracy_matrix.npy") for each in (alone, begun)))


@pytest.mark.slow
def test_two_sweeps_over_the_same_runs_share_the_work(tmp_path: Path) -> None:
    both = [start("algo=maml,reptile", cwd=tmp_path) for _ in range(2)]
    printed = [each.communicate(timeout=250)[0] for each in both]
    assert [each.returncode for each in both] == [0, 0], printed
    assert all("sweep of 2: 2 completed" in each for each in printed)
    whole(tmp_path / "runs", 2)


def test_an_interrupted_sweep_stops_its_job_first_and_starts_no_other(tmp_path: Path) -> None:
    sweep = start("seeds=[0],[1]", "protocol.updates_per_task=100000", cwd=tmp_path)
    root = tmp_path / "runs" / "split_glyphs" / "maml"
    wait_until(lambda: list(root.glob("*/checkpoint.pt")))
    os.kill(sweep.pid, signal.SIGINT)
    printed, _ = sweep.communicate(timeout=60)
    assert sweep.returncode == 130
    assert "sweep of 2: 1 interrupted, 1 not started" in printed
    (summary,) = root.glob("*/summary.json")
    assert json.loads(summary.read_text())["status"] == "interrupted"


LAUNCHERS = {
    "joblib": ("joblib_launcher", ["hydra.launcher.n_jobs=2"]),
    "submitit_local": ("submitit_launcher", []),
    "ray": ("ray_launcher", ["+hydra.launcher.ray.init.num_cpus=2"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "ray"])
def test_every_launcher_runs_all_jobs_and_lists_what_failed(launcher: str, tmp_path: Path) -> None:
    plugin, settings = LAUNCHERS[launcher]
    if importlib.util.find_spec("hydra_plugins") is None or importlib.util.find_spec(f"hydra_plugins.hydra_{plugin}") is None:
        pytest.skip(f"needs hydra_{plugin}")
    rates = "algo.inner_lr=0.4,1e30,0.2"
    result = metacl("output_dir=runs", rates, f"hydra/launcher={launcher}", *settings, "-m", cwd=tmp_path)
    assert result.returncode == 3, result.stdout + result.stderr
    assert "sweep of 3: 2 completed, 1 diverged" in result.stdout
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("  diverged ")]
    directory = Path(line.split()[-1])
    assert "algo.inner_lr=1e+30" in line
    assert state(tmp_path / directory) == "diverged"
    assert (tmp_path / directory / process.OUTPUT).exists()
    assert "not finite" in result.stdout
    again = metacl("output_dir=runs", rates, f"hydra/launcher={launcher}", *settings, "-m", cwd=tmp_path)
    assert "starts" not in again.stdout
    assert again.returncode == 3


def test_a_launcher_that_is_not_there_says_how_to_get_it(tmp_path: Path) -> None:
    result = metacl("seeds=[0],[1]", "hydra/launcher=joblip", "-m", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("metacl-run: hydra/launcher=joblip: there is no such option.")
    assert "pip install 'metacl-run[joblib]'" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "runs").exists()


def test_a_launcher_hands_over_each_job_whatever_its_letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    jobs = [["name=it's", 'text="a, b\\"', "path=${oc.env:HOME}\\"], {"key": [1, None, "\n=ü"]}]
    received: list[Any] = []

    def run(job: Any, shares_terminal: bool) -> JobResult:
        received.append(job)
        return JobResult(COMPLETED)

    launch_jobs(run, jobs, [], tmp_path, None)

    assert received == jobs


def test_what_a_launcher_pickles_for_a_job_does_not_grow_with_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pickled = []
    monkeypatch.setattr(sweeps, "launch_jobs", lambda run_job, *others: pickled.append(len(pickle.dumps(run_job))))

    for count in (10, 1000):
        jobs = [Job(("algo=er", f"algo.lr={rate}"), tmp_path / str(rate)) for rate in range(count)]
        sweeps.hydra_launcher([], tmp_path, None, "group")(jobs, waits=False)

    assert pickled[1] <= pickled[0] + 2


def test_a_launcher_writes_into_the_output_dir_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = tmp_path / "here", tmp_path / "it's ${over} there"
    here.mkdir()
    monkeypatch.chdir(here)

    ended = launch_jobs(lambda number, _: JobResult(number), [0, 1], [], there, None)

    assert [result.status for result in ended] == [0, 1]
    assert there.is_dir()
    assert not list(here.iterdir())

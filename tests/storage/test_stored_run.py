"""Finding run directories and reading their settings, with all that may lie about in a folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import yaml

from metacl_run.core.errors import StorageError
from metacl_run.storage.find_runs import find_runs
from metacl_run.storage.stored_run import StoredRun

CONFIG = {
    "seeds": [0],
    "output_dir": "/x",
    "logger": {"_target_": "l"},
    "algo": {"inner_lr": 1e-05, "replay": None},
    "data": {"root": "/d"},
}


def write(directory: Path, **content: object) -> Path:
    directory.mkdir(parents=True)
    (directory / "summary.json").write_text(json.dumps({"schema": 1, "status": "completed", "protocol": "online", **content}))
    return directory


def test_runs_are_found_at_any_depth_and_not_looked_into(tmp_path: Path) -> None:
    run = write(tmp_path / "data" / "maml" / "a")
    write(run / "wandb" / "inner")
    begun = tmp_path / "data" / "er" / "b"
    begun.mkdir(parents=True)
    (begun / "config.yaml").touch()
    (begun / "run.log").touch()
    configs = tmp_path / "configs"  # a folder with a config.yaml is not yet a run
    configs.mkdir()
    (configs / "config.yaml").touch()
    assert find_runs([tmp_path]).runs == [begun, run]
    assert find_runs([run]).runs == [run]
    assert find_runs([tmp_path, run, tmp_path / "data"]).runs == [begun, run]


def test_links_are_followed_once_and_not_in_circles(tmp_path: Path) -> None:
    run = write(tmp_path / "runs" / "a")
    elsewhere = write(tmp_path / "elsewhere" / "b")
    (tmp_path / "runs" / "0_circle").symlink_to(tmp_path / "runs")
    (tmp_path / "runs" / "1_self").symlink_to("1_self")
    (tmp_path / "runs" / "2_same").symlink_to(run)
    (tmp_path / "runs" / "3_other").symlink_to(elsewhere.parent)
    (tmp_path / "runs" / "4_gone").symlink_to(tmp_path / "gone")
    assert find_runs([tmp_path / "runs"]).runs == [tmp_path / "runs" / "3_other" / "b", run]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
def test_a_closed_folder_is_told(tmp_path: Path) -> None:
    run = write(tmp_path / "a")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    found = find_runs([tmp_path])
    closed.chmod(0o700)
    assert found.runs == [run]
    assert found.refused == [f"{closed}: cannot be read (Permission denied)"]


def test_a_path_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"gone: there is no such folder\n.*also: there is"):
        find_runs([tmp_path / "gone", tmp_path / "also"])


def test_settings_from_the_summary_and_from_the_config_beside_it_are_the_same(tmp_path: Path) -> None:
    silent = ["logger", "output_dir", "data.root"]
    new = write(tmp_path / "new", config=CONFIG, without_effect=silent)
    old = write(tmp_path / "old")
    (old / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    expected = {"seeds": [0], "algo.inner_lr": 1e-05, "algo.replay": None}
    assert StoredRun(new).settings == StoredRun(old).settings == expected


@pytest.mark.parametrize("text", [None, "", "a: [", "- 1"])
def test_a_config_that_is_gone_or_broken_is_one_message(tmp_path: Path, text: str | None) -> None:
    run = write(tmp_path / "old")
    if text is not None:
        (run / "config.yaml").write_text(text)
    with pytest.raises(StorageError, match=r"config\.yaml: is (missing|truncated)"):
        _ = StoredRun(run).settings


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"schema": 1, "sta', "is truncated"), ("[]", "another version"), ('{"schema": 2, "status": "completed"}', "schema 2")],
)
def test_a_summary_that_cannot_be_read_says_why(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(StorageError, match=message):
        _ = StoredRun(tmp_path).summary


def test_each_file_is_read_once_and_only_when_needed(tmp_path: Path) -> None:
    run = StoredRun(write(tmp_path / "run", config={"seeds": [0]}, seeds=[0], task_names=[["a", "b"]]))
    assert run.status == "completed"
    matrix = np.arange(6.0).reshape(1, 3, 2)
    np.save(run.directory / "accuracy_matrix.npy", matrix)
    np.testing.assert_array_equal(run.matrix, matrix)
    for path in run.directory.iterdir():
        path.unlink()
    assert run.summary["status"] == "completed"
    np.testing.assert_array_equal(run.matrix, matrix)
    assert not len(run.evaluations.units)


def test_a_matrix_of_another_shape_is_refused(tmp_path: Path) -> None:
    run = StoredRun(write(tmp_path / "run", config={}, seeds=[0, 1], task_names=[["a"], ["a"]]))
    np.save(run.directory / "accuracy_matrix.npy", np.zeros((1, 2, 1)))
    with pytest.raises(
        StorageError, match=r"accuracy_matrix\.npy: has the shape \[1, 2, 1\], but the run has 2 seeds and 1 tasks"
    ):
        _ = run.matrix


def test_a_broken_record_is_named_by_its_line(tmp_path: Path) -> None:
    run = StoredRun(write(tmp_path / "run", config={}, seeds=[0], task_names=[["a"]]))
    (run.directory / "metrics.jsonl").write_text('{"kind": "train", "unit": 1, "metrics": {}}\n{"unit": 2}\n{"cut')
    with pytest.raises(StorageError, match=r"metrics\.jsonl: line 2 is no record"):
        _ = run.evaluations

"""The files of learners after tasks: how much room they take, and what may lie in their place."""

from __future__ import annotations

import logging
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from metacl_run.config.load import Experiment
from metacl_run.core.errors import StorageError
from metacl_run.experiment import run
from metacl_run.storage.store import RunStore
from metacl_run.storage.task_states import TaskStates

Usage = namedtuple("Usage", ["total", "used", "free"])


@pytest.mark.parametrize(
    ("size", "tasks_done", "free", "level", "text"),
    [
        (2_400, 0, 10**12, logging.INFO, "the learner after each of 20 tasks takes 2.4 kB of disk, 48 kB in all"),
        (225 * 10**6, 0, 10**12, logging.WARNING, "takes 225 MB of disk, 4.5 GB in all"),
        (
            225 * 10**6,
            0,
            3 * 10**9,
            logging.WARNING,
            "4.5 GB in all, but {} has 3 GB left. When the disk is full the run stops",
        ),
        (225 * 10**6, 15, 3 * 10**9, logging.WARNING, "4.5 GB in all"),  # the five that are to come have room
        (10**6, 0, 19 * 10**6, logging.WARNING, "20 MB in all, but {} has 19 MB left"),
        (10**6, 1, 19 * 10**6, logging.INFO, "20 MB in all"),
    ],
)
def test_how_much_room_they_take(
    size: int,
    tasks_done: int,
    free: int,
    level: int,
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, free))
    with caplog.at_level(logging.INFO, logger="metacl_run"):
        TaskStates(tmp_path).announce(size, 20, tasks_done)
    (record,) = caplog.records
    assert record.levelno == level
    assert record.getMessage().startswith("protocol.keep_states=tasks: the learner after each of 20 tasks takes ")
    assert text.format(tmp_path) in record.getMessage()
    assert ("left" in record.getMessage()) == ("left" in text)


def test_a_run_says_how_much_before_it_begins_and_what_is_left_when_it_continues(
    experiment: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(RunStore, "announce_task_states", lambda _, *numbers: calls.append(numbers))
    built = experiment("algo=reptile", "protocol.keep_states=tasks", "seeds=[0,1]")
    assert run(built) == 0
    learner = torch.load(built.directory / "checkpoint.pt", weights_only=True)["content"]["learner"]
    leaves = torch.utils._pytree.tree_leaves(learner)
    assert calls == [(sum(leaf.numpy().nbytes for leaf in leaves), 2, 0)]
    file = built.directory / "learners" / "after_task_0.pt"
    assert calls[0][0] < file.stat().st_size < calls[0][0] + 400 * (len(leaves) + 3)  # beside it only torch's names
    (built.directory / "summary.json").unlink()  # killed after its last checkpoint
    assert run(built) == 0
    assert calls[1:] == [(*calls[0][:2], 2)]


def test_what_lies_in_the_place_of_the_folder_is_not_written_through(tmp_path: Path) -> None:
    elsewhere, place = tmp_path / "elsewhere", tmp_path / "run" / "learners"
    elsewhere.mkdir()
    place.parent.mkdir()
    place.symlink_to(elsewhere)
    with pytest.raises(StorageError, match="learners: is a link, which is not written through"), RunStore(place.parent):
        pass
    place.unlink()
    place.write_text("mine")
    with pytest.raises(StorageError, match="learners: is no folder"), RunStore(place.parent):
        pass


def test_a_refused_run_leaves_no_folder(tmp_path: Path) -> None:
    with RunStore(tmp_path / "run") as store:
        store.write_task_state(0, {"weight": torch.ones(2, 3)})
        store.discard()
    assert not (tmp_path / "run").exists()


def test_a_part_of_a_larger_tensor_is_written_without_the_rest(tmp_path: Path) -> None:
    learner = {"weight": torch.arange(30_000.0).reshape(3, 10_000)[:, 1], "count": {"unit": torch.tensor([3, 4])}}
    TaskStates(tmp_path).write(7, learner)
    back = TaskStates(tmp_path).read(7)
    assert torch.equal(back["weight"], torch.tensor([1.0, 10_001.0, 20_001.0]))
    assert TaskStates(tmp_path).file(7).stat().st_size < 5_000  # the whole has 120,000 bytes
    assert back["count"]["unit"].tolist() == [3, 4]

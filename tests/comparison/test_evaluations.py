"""Evaluations of finished runs: never seeds of a training with the same settings, nor of one another."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from metacl_run.comparison import document
from metacl_run.comparison.compare import compare


def evaluated(directory: Path, run_id: object) -> Path:
    """Makes a run the evaluation of another."""
    path = directory / "summary.json"
    origin = {"evaluation_of": {"run_id": run_id, "directory": "/runs/x"}}
    path.write_text(json.dumps({**json.loads(path.read_text()), **origin}))
    return directory


def test_an_evaluation_stands_apart_from_trainings_and_names_its_run(run: Callable[..., Path], tmp_path: Path) -> None:
    run("trained", 0.9, seeds=[0, 1, 2], data__shots=5)
    evaluated(run("evaluated", 0.5, seeds=[3, 4, 5], data__shots=5), "0123abcd")
    evaluated(run("other", 0.6, seeds=[3, 4, 5], data__shots=5), "4567abcd")
    evaluated(run("another_algo", 0.7, seeds=[3, 4, 5], algo="anil", data__shots=5), "89ababcd")
    comparison = compare([tmp_path / "runs"])
    means = {
        scores.section.title: {label: round(row.mean, 1) for label, row in scores.statistics["accuracy"].items()}
        for scores in comparison.sections
    }
    assert means == {
        "split_glyphs, continual_meta": {"maml": 0.9},
        "split_glyphs, continual_meta, evaluations of finished runs": {
            "anil evaluation_of=89ababcd": 0.7,
            "maml evaluation_of=0123abcd": 0.5,
            "maml evaluation_of=4567abcd": 0.6,
        },
    }
    assert not comparison.notes
    document.write(comparison, tmp_path / "out", ["md", "html"])
    assert "## split_glyphs, continual_meta, evaluations of finished runs\n" in (tmp_path / "out" / "report.md").read_text()


def test_evaluations_of_one_run_that_come_twice_count_once(run: Callable[..., Path]) -> None:
    evaluated(run("a", 0.5, seeds=[0, 1]), "0123abcd")
    second = evaluated(run("b", 0.5, seeds=[0, 1]), "0123abcd")
    comparison = compare([second.parent])
    (scores,) = comparison.sections
    assert scores.labels == ["maml evaluation_of=0123abcd"]
    assert len(comparison.notes) == 2


@pytest.mark.parametrize("run_id", [None, 7])
def test_an_evaluation_of_nothing_is_left_out(run_id: object, run: Callable[..., Path]) -> None:
    run("whole", 0.5)
    damaged = evaluated(run("damaged", 0.5), run_id)
    (message,) = compare([damaged.parent]).left_out
    assert message.startswith(f"{damaged / 'summary.json'}: is damaged, or another version wrote it")

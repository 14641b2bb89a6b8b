"""The script that chooses defaults: the best candidate by the score's own direction, and candidates that diverged."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.script_modules import script_module


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return script_module("tune_defaults", monkeypatch)


def line(mean: float | None, score: str = "accuracy") -> dict[str, Any]:
    values = [0.5, None] if mean is None else [mean, mean]
    return {
        "score": score,
        "status": "completed",
        "mean": mean,
        "values": values,
        "learning": mean,
        "before": 0.1,
        "cpu_s": 1.0,
    }


def tuned(script: ModuleType, means: list[float | None], score: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = iter([line(mean, score) for mean in means])
    monkeypatch.setattr(script, "scores", lambda _: next(lines))
    monkeypatch.setitem(script.GRIDS, "er", {"lr": [0.01, 0.03, 0.1]})
    script.tune("er", "[0,1]", tmp_path / "log.jsonl")


@pytest.mark.parametrize(
    ("score", "means", "best"),
    [
        ("accuracy", [0.2, 0.6, 0.4], "algo.lr=0.03"),
        ("success", [0.2, 0.6, 0.4], "algo.lr=0.03"),
        ("mse", [0.2, 0.6, 0.4], "algo.lr=0.01"),
        ("accuracy", [None, 0.3, None], "algo.lr=0.03"),
        ("mse", [None, float("nan"), 0.3], "algo.lr=0.1"),
        ("accuracy", [None, float("nan"), None], "none: every candidate diverged"),
    ],
)
def test_the_best_is_best_in_the_direction_of_its_score(
    score: str,
    means: list[float | None],
    best: str,
    script: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tuned(script, means, score, tmp_path, monkeypatch)
    printed = capsys.readouterr().out.splitlines()
    assert [row.split("best: ")[1] for row in printed if "best: " in row] == [best]
    logged = [json.loads(row) for row in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["mean"] is None for row in logged] == [mean is None for mean in means]


def test_a_default_that_diverged_is_shown(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "scores", lambda _: line(None))
    script.test("oml", "[0,1]", tmp_path / "log.jsonl")
    printed = capsys.readouterr().out
    assert "nan  (0.500 nan)  learning nan" in printed
    assert "untrained nan" in printed

"""The check of a card runs dry on the CPU: its pieces, the page, and (slow) the whole command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent.parent / "scripts"


def check(name: str, out: Path) -> None:
    command = [sys.executable, str(SCRIPTS / "gpu_check.py"), name, "--device", "cpu", "--quick", "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True, cwd=SCRIPTS.parent)


def test_an_item_fails_without_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from gpu_checks.measuring import Results  # type: ignore[import-not-found]

    results = Results(tmp_path / "some.json")
    results.attempt("works", lambda: {"ms": 1.5})
    results.attempt("fails", lambda: {"ms": 1 / 0})
    items = json.loads((tmp_path / "some.json").read_text())
    assert items["works"] == {"ms": 1.5}
    assert items["fails"]["error"].startswith("ZeroDivisionError")


def test_a_check_is_written_on_a_page(tmp_path: Path) -> None:
    check("convolutions", tmp_path / "convolutions.json")
    (item,) = json.loads((tmp_path / "convolutions.json").read_text()).values()
    assert all(milliseconds > 0 for milliseconds in item.values())
    check("page", tmp_path / "page.md")
    assert "| episodes, side 7, ieee, cudnn.benchmark False |" in (tmp_path / "page.md").read_text()


@pytest.mark.slow
def test_the_whole_command(tmp_path: Path) -> None:
    command = [str(SCRIPTS / "gpu_check.sh"), "--device", "cpu", "--quick", "--minutes", "5", "--out", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    files = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    assert files.keys() == {"floors", "learners", "engines", "convolutions", "norms", "perceptrons", "scale"}
    assert not [item for items in files.values() for item in items.values() if "error" in item]
    assert all(item["operations, error of the gradient"] < 1e-5 for item in files["norms"].values())
    assert files["engines"]["main job, vmap, error"]["float64_error"] < 1e-12
    assert all(0 < item["host_ms"] <= item["ms"] for item in files["scale"].values())

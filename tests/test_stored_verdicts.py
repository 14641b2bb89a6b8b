"""The script that compares stored summaries with a paper's table: which tables it can be asked about, and which summaries."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
STORED = REPOSITORY / "results" / "la_maml_mnist"


def verdicts(table: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "scripts" / "stored_verdicts.py"), table, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)


def test_stored_summaries_have_the_verdicts_beside_them() -> None:
    result = verdicts("la_maml_mnist", STORED)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("Cells: ")
    assert result.stdout.count("permuted_mnist") > 0


def test_a_table_whose_runs_share_an_experiment_is_refused(tmp_path: Path) -> None:
    result = verdicts("er_tiny_memories", tmp_path)
    assert result.returncode == 1
    assert result.stdout == ""
    (message,) = result.stderr.splitlines()
    assert message.startswith(
        "er_tiny_memories: several of its runs share an experiment, so that <experiment>.json does not say"
    )
    assert message.endswith("`metacl-run table=er_tiny_memories` compares them")


def test_a_run_without_an_experiment_is_not_offered(tmp_path: Path) -> None:
    result = verdicts("maml_sinusoid", tmp_path)
    assert result.returncode == 0, result.stderr
    assert "not offered" in result.stdout


def test_a_summary_of_other_seeds_is_refused(tmp_path: Path) -> None:
    summary = json.loads((STORED / "rotated_mnist_sgd.json").read_text())
    assert summary["seeds"] == [0, 1, 2, 3, 4]
    (tmp_path / "rotated_mnist_sgd.json").write_text(json.dumps({**summary, "seeds": [0, 1]}))
    result = verdicts("la_maml_mnist", tmp_path)
    assert result.returncode == 1
    (message,) = result.stderr.splitlines()
    assert message.startswith(f"{tmp_path / 'rotated_mnist_sgd.json'}: seeds=[0, 1]: must be [0, 1, 2, 3, 4], the seeds of ")

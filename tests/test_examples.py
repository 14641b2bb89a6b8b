"""The notebooks of examples/ run from top to bottom, each in a folder of its own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
NOTEBOOKS = sorted(path.stem for path in EXAMPLES.glob("*.ipynb"))


@pytest.mark.filterwarnings("ignore")  # of Jupyter's own packages
@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(EXAMPLES.parent), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(shutil.copy(EXAMPLES / f"{name}.ipynb", tmp_path), as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert not any(cell.get("outputs") for cell in nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4).cells)


def test_the_method_of_ones_own_takes_forty_lines() -> None:
    nbformat = pytest.importorskip("nbformat")
    cells = nbformat.read(EXAMPLES / "own_method.ipynb", as_version=4).cells
    (source,) = (cell.source for cell in cells if cell.source.startswith("%%writefile"))
    assert len(source.splitlines()) - 1 <= 40

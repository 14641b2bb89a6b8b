"""A logger of the user's own, as docs/loggers.md has it, beside one that ships."""

from __future__ import annotations

from pathlib import Path

import pytest

from metacl_run.config.compose import experiment_of
from metacl_run.experiment import run
from metacl_run.storage.stored_run import StoredRun
from tests.support.settings import TINY

PAGE = Path(__file__).parents[2] / "docs" / "loggers.md"


@pytest.mark.usefixtures("undrawn")
def test_the_logger_of_the_docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for opening in ('```python title="my_loggers.py"\n', '```yaml title="my_configs/logger/lines.yaml"\n'):
        path = tmp_path / opening.split('"')[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PAGE.read_text(encoding="utf-8").partition(opening)[2].partition("```")[0])
    monkeypatch.syspath_prepend(str(tmp_path))
    own = ["logger=[lines,csv]", f"logger.lines.path={tmp_path}/lines.txt", "tags=pilot"]
    experiment = experiment_of([*TINY, f"output_dir={tmp_path}/runs", "progress=none", *own], f"{tmp_path}/my_configs")
    assert run(experiment) == 0
    lines = (tmp_path / "lines.txt").read_text().splitlines()
    assert lines[0].startswith("maml-split_glyphs-")
    assert lines[-1].startswith("completed 0.")
    assert StoredRun(experiment.directory).summary["tags"] == ["pilot"]
    assert (experiment.directory / "metrics.csv").exists()

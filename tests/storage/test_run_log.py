"""run.log on a disk that is full."""

from __future__ import annotations

from pathlib import Path

import pytest

from metacl_run.storage import run_log


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_line_that_cannot_be_written_prints_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_log, "LOG", "/dev/full")
    with run_log.to_file(tmp_path):
        run_log.log.info("a line")
    assert capsys.readouterr().err == ""

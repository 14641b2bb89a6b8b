"""The comparison's CSV files, opened in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

from metacl_run.comparison.compare import compare
from metacl_run.comparison.csv_files import csv_files


def test_a_run_named_like_a_formula_is_text(run: Callable[..., Path]) -> None:
    names = ("=cmd|' /C calc'!A0", "@SUM(1)", "er")
    for number, name in enumerate(names):
        run(f"run{number}", 0.7, algo=name, seeds=[0, 1])
    (scores,) = compare([run("last", 0.7).parent], ["accuracy"]).sections
    files = csv_files([scores])
    fields = [field for text in files.values() for row in csv.reader(io.StringIO(text)) for field in row]
    assert {"'" + name for name in names[:2]} | {"er"} <= set(fields)
    assert not [field for field in fields if field.startswith(("=", "@"))]

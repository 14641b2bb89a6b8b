"""Reads metrics.jsonl."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from metacl_run.core.errors import StorageError
from metacl_run.core.files import regular_file

COMPUTE_ANEW = "Remove the run's directory to compute it anew."


def read_records(path: Path) -> list[dict[str, Any]]:
    """Returns every whole line; a last line that a kill cut short is left out, and a missing file has none.

    Raises:
        StorageError: the file cannot be read, or a line of it is no record.
    """
    if not path.exists():
        return []
    records = []
    try:
        regular_file(path)
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n"):
                    records.append(_record(line, f"{path}: line {number}"))
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({error.strerror}). {COMPUTE_ANEW}") from None
    return records


def _record(line: bytes, place: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
        whole = isinstance(record, dict) and "kind" in record and isinstance(record["unit"], int)
    except (ValueError, KeyError, RecursionError):
        whole = False
    if not whole:
        raise StorageError(f"{place} is no record: somebody changed it. {COMPUTE_ANEW}")
    return dict(record)

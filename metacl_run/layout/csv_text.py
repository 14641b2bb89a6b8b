"""Rows as CSV (RFC 4180), with line ends of one character and nothing that a spreadsheet would compute."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import TypeAlias

Field: TypeAlias = "str | int | float | None"

_FORMULA = ("=", "+", "-", "@", "\t", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""The first characters of formulas; in full width too."""
_NO_FORMULA = re.compile(r"-|[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-](inf|nan)")


def csv_text(rows: Iterable[Sequence[Field]]) -> str:
    """Numbers unrounded; an empty field for None and NaN."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows(map(_field, row) for row in rows)
    return file.getvalue()


def _field(value: Field) -> str:
    """Puts an apostrophe before a text that a spreadsheet would compute as a formula. Every line end becomes "\\n": the writer
    does not quote a lone "\\r", after which a reader would begin another row."""
    if value is None or value != value:
        return ""
    if not isinstance(value, str):
        return repr(value)
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{text}" if text.startswith(_FORMULA) and not _NO_FORMULA.fullmatch(text) else text

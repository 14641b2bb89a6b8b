from __future__ import annotations

import io
import sys

import pytest

from metacl_run.core.output import any_letter_printed


def test_a_letter_that_the_terminal_does_not_have_is_a_question_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", stream)

    with any_letter_printed():
        print("日 ü")

    stream.flush()
    assert stream.buffer.getvalue() == b"? \xfc\n"  # type: ignore[attr-defined]
    with pytest.raises(UnicodeEncodeError):
        print("日")

"""Folders of sentence-transformers models whose JSON says nothing that can be used; no package is needed to see it."""

from __future__ import annotations

from pathlib import Path

import pytest

from metacl_run.core.errors import SettingError
from metacl_run.data.text.sentence_folder import sentence_folder


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("modules.json", "[]", r"its modules\.json names no part\."),
        ("modules.json", "{}", r"its modules\.json names no part\."),
        ("modules.json", "[" * 100_000, r"RecursionError: "),
        ("config.json", "[" * 100_000, r"RecursionError: "),
    ],
)
def test_json_that_cannot_be_used_is_one_message(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(SettingError, match=rf"has no model that can be used: {message}") as error:
        sentence_folder(str(tmp_path))
    assert "\n" not in str(error.value)

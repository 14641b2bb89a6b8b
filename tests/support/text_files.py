"""Options of texts, and files of labelled texts for `data=text_file`."""

from __future__ import annotations

from pathlib import Path

from metacl_run.config.option_files import OptionFiles

TEXTS = [option.name for option in OptionFiles().all("data") if "encoder" in option.settings]
"""The shipped options whose examples are texts. Algorithms whose own network takes images need another one for them."""


def write_texts(path: Path, *, classes: int, texts: int) -> str:
    """Writes a CSV file with as many texts of each class, class by class, and returns its path."""
    rows = [f"text {number} of class {index},class{index:02}" for index in range(classes) for number in range(texts)]
    path.write_text("\n".join(["text,label", *rows, ""]), encoding="utf-8")
    return str(path)

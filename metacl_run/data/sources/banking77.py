"""BANKING77: 77 intents of bank customers, 35 to 187 training texts and 40 test texts each."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from metacl_run.data.sources.source import Catalogue
from metacl_run.data.text.banking77_files import banking77_parts, read_banking77
from metacl_run.data.text.text_source import SplitTexts, SplitTextSource


@dataclass(frozen=True, kw_only=True)
class Banking77(SplitTextSource):
    """Questions to a bank, with intents that are hard to tell apart: they share most of their words."""

    has_fixed_parts = True

    root: str = dataclasses.field(metadata={"identity": False})
    """Folder that holds BANKING77."""

    def parts(self) -> tuple[Catalogue, Catalogue]:
        return banking77_parts()

    def read_split_texts(self) -> SplitTexts:
        return read_banking77(self.root)

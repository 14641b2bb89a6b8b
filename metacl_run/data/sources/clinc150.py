"""CLINC150: 150 intents of 10 domains, 100 training texts and 30 test texts each."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from metacl_run.data.sources.source import Catalogue
from metacl_run.data.text.clinc150_files import clinc150_parts, read_clinc150, read_out_of_scope
from metacl_run.data.text.text_source import SplitTexts, SplitTextSource


@dataclass(frozen=True, kw_only=True)
class Clinc150(SplitTextSource):
    """Requests to an assistant; `clinc150_files` says which texts are read."""

    has_fixed_parts = True

    root: str = dataclasses.field(metadata={"identity": False})
    """Folder that holds CLINC150."""
    out_of_scope: bool
    """Whether the 1000 test texts that belong to no intent are also read."""

    def parts(self) -> tuple[Catalogue, Catalogue]:
        return clinc150_parts()

    def read_split_texts(self) -> SplitTexts:
        read = read_clinc150(self.root)
        return dataclasses.replace(read, out_of_scope=read_out_of_scope(self.root)) if self.out_of_scope else read

"""Several sets of texts as one source, with one encoder: one task for each, so that tasks really differ."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from metacl_run.core.bounds import Seed
from metacl_run.core.errors import name_checks, require_all
from metacl_run.data.sources.source import Catalogue
from metacl_run.data.text.banking77_files import banking77_parts, read_banking77
from metacl_run.data.text.clinc150_files import clinc150_parts, read_clinc150
from metacl_run.data.text.intent_generator import MOST_TEXTS, intent_catalogue, intent_texts
from metacl_run.data.text.text_source import LabelledTexts, SplitTexts, TextSource

KNOWN = ("clinc150", "banking77", "intents")


@dataclass(frozen=True, kw_only=True)
class TextDomains(TextSource):
    """The classes of all domains; every domain is a group. A set's training and test texts are taken together."""

    domains: list[str]
    """Some of clinc150, banking77 and intents (generated), in the order of the tasks."""
    texts_per_intent: Annotated[int, Ge(2), Le(MOST_TEXTS)]
    """Generated texts of each intent, all different."""
    generator_seed: Seed
    """Decides which phrases and words are combined in generated texts."""
    root: str = dataclasses.field(metadata={"identity": False})
    """Folder that holds CLINC150 and BANKING77."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_all(
            (len(self.domains) >= 1, "domains", self.domains, f"must name at least one of {', '.join(KNOWN)}"),
            *name_checks("domains", self.domains, KNOWN),
        )

    @property
    def origins(self) -> frozenset[str]:
        return frozenset(self.domains)

    def catalogue(self) -> Catalogue:
        parts = [(domain, self._catalogue(domain)) for domain in self.domains]
        return Catalogue(
            names=[f"{domain}/{name}" for domain, part in parts for name in part.names],
            counts=np.concatenate([part.counts for _, part in parts]),
            groups=[domain for domain, part in parts for _ in part.names],
            group_word="domains",
        )

    def read_texts(self) -> LabelledTexts:
        texts: list[str] = []
        notes: list[str] = []
        for domain in self.domains:
            if domain == "intents":
                texts += intent_texts(texts_per_intent=self.texts_per_intent, seed=self.generator_seed)
            else:
                read = read_clinc150(self.root) if domain == "clinc150" else read_banking77(self.root)
                texts += _by_class(read)
                notes += read.notes
        return LabelledTexts(catalogue=self.catalogue(), texts=texts, notes=notes)

    def _catalogue(self, domain: str) -> Catalogue:
        if domain == "intents":
            return intent_catalogue(self.texts_per_intent)
        train, test = clinc150_parts() if domain == "clinc150" else banking77_parts()
        return dataclasses.replace(train, counts=train.counts + test.counts)


def _by_class(read: SplitTexts) -> list[str]:
    return [read.texts[row] for row in np.argsort(read.y, kind="stable")]

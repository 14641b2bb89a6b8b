"""Requests of invented users, made by the program: no files, no network. Synthetic: never in a paper's table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from metacl_run.core.bounds import Seed
from metacl_run.data.sources.source import Catalogue
from metacl_run.data.text.intent_generator import MOST_TEXTS, intent_catalogue, intent_texts
from metacl_run.data.text.text_source import LabelledTexts, TextSource


@dataclass(frozen=True, kw_only=True)
class Intents(TextSource):
    """30 intents of 5 domains: travel, banking, kitchen, home, work."""

    texts_per_intent: Annotated[int, Ge(2), Le(MOST_TEXTS)]
    """Texts of each intent, all different."""
    generator_seed: Seed
    """Decides which phrases and words are combined."""

    def catalogue(self) -> Catalogue:
        return intent_catalogue(self.texts_per_intent)

    def read_texts(self) -> LabelledTexts:
        texts = intent_texts(texts_per_intent=self.texts_per_intent, seed=self.generator_seed)
        return LabelledTexts(catalogue=self.catalogue(), texts=texts)

"""A bag of words: a learned vector for every word, averaged, then one linear layer (Joulin et al. 2017, arXiv 1607.01759).

Differences from the paper: 1. words only, no n-grams; 2. a full softmax.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from metacl_run.core.bounds import Width
from metacl_run.models.layers import BodyHead
from metacl_run.models.network import Model, token_shape
from metacl_run.models.token_layers import mean_over_words


@dataclass(frozen=True, kw_only=True)
class TextBag(Model):
    """The mean vector of a text's words.

    Attributes:
        width: width of a word's vector.
    """

    width: Width

    takes_tokens = True

    def build(self, input_shape: tuple[int, ...], num_outputs: int | None) -> nn.Module:
        shape = token_shape(self, input_shape)
        head = nn.Identity() if num_outputs is None else nn.Linear(self.width, num_outputs)
        return BodyHead(MeanOfWords(shape.vocabulary, self.width), head)


class MeanOfWords(nn.Module):
    """Token numbers [N, L] -> the mean vector [N, width] of those that are not 0; zeros where all are."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(vocabulary, width)

    def forward(self, x: Tensor) -> Tensor:
        return mean_over_words(self.vectors(x), x)

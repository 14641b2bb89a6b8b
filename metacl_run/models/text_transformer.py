"""A small transformer that is learned from scratch (Vaswani et al. 2017, arXiv 1706.03762).

Differences from the paper: 1. an encoder alone, whose outputs are averaged over the words of a text; 2. layers are normalised
before they are applied, not after (Xiong et al. 2020, arXiv 2002.04745); 3. positions are learned, not sines; 4. GELU for ReLU;
5. no dropout, since every function of a learner is deterministic.

Attention is written as products: the fused kernels cannot be differentiated twice under vmap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from metacl_run.core.bounds import Layers, Width
from metacl_run.core.errors import require
from metacl_run.models.network import Model, token_shape
from metacl_run.models.token_layers import mean_over_words

EXPANSION = 4
"""Width of the hidden layer between attentions, in widths."""
DEVIATION = 0.02
"""Of the vectors of words and positions at first."""
FAR = -1e9
"""Added to the scores of places without a word; finite, so a text without any word has a gradient of 0."""


@dataclass(frozen=True, kw_only=True)
class TextTransformer(Model):
    """A transformer encoder on words.

    Attributes:
        width: of the vector of a word at every layer.
        layers: blocks of attention and a perceptron.
        heads: of every attention; they divide the width among them.
    """

    width: Width
    layers: Layers
    heads: Width

    takes_tokens = True

    def __post_init__(self) -> None:
        require(self.width % self.heads == 0, "heads", self.heads, f"must divide model.width={self.width}")

    def build(self, input_shape: tuple[int, ...], num_outputs: int | None) -> nn.Module:
        shape = token_shape(self, input_shape)
        head = nn.Identity() if num_outputs is None else nn.Linear(self.width, num_outputs)
        blocks = [Block(self.width, self.heads) for _ in range(self.layers)]
        return Transformer(shape.vocabulary, shape[0], self.width, blocks, head)


class Transformer(nn.Module):
    """Token numbers [N, L] -> outputs [N, ...] of `head`."""

    def __init__(self, vocabulary: int, length: int, width: int, blocks: list[Block], head: nn.Module) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.empty(length, width))
        for vectors in (self.words.weight, self.positions):
            nn.init.normal_(vectors, std=DEVIATION)
        self.blocks, self.norm, self.head = nn.ModuleList(blocks), nn.LayerNorm(width), head

    def forward(self, x: Tensor) -> Tensor:
        features = self.words(x) + self.positions
        scores = FAR * (x == 0).to(features.dtype)[:, None, None]  # [N, heads, queries, keys]
        for block in self.blocks:
            features = block(features, scores)
        outputs: Tensor = self.head(mean_over_words(self.norm(features), x))
        return outputs


class Block(nn.Module):
    """Attention among the words of a text, then a perceptron for each of them, both added to what was there."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.inputs, self.mixed = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, EXPANSION * width), nn.Linear(EXPANSION * width, width)

    def forward(self, features: Tensor, scores: Tensor) -> Tensor:
        """[N, L, width] -> the same; `scores` are added to the products of queries and keys."""
        features = features + self.mixed(self._attention(self.first_norm(features), scores))
        hidden = nn.functional.gelu(self.wide(self.second_norm(features)), approximate="tanh")
        outputs: Tensor = features + self.narrow(hidden)
        return outputs

    def _attention(self, features: Tensor, scores: Tensor) -> Tensor:
        texts, length, width = features.shape
        split = self.inputs(features).reshape(texts, length, 3, self.heads, width // self.heads)
        queries, keys, values = split.permute(2, 0, 3, 1, 4)  # [N, heads, L, width of a head]
        weights = (queries @ keys.transpose(-1, -2) / math.sqrt(width // self.heads) + scores).softmax(-1)
        attended: Tensor = weights @ values
        return attended.transpose(1, 2).reshape(texts, length, width)

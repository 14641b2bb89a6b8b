"""A small transformer, trained from scratch (Vaswani et al. 2017, arXiv 1706.03762).

Differences from the paper: 1. only an encoder, whose outputs are averaged over the words of a text; 2. layers are normalised
before they are applied, not after (Xiong et al. 2020, arXiv 2002.04745); 3. positions are learned, not sines; 4. GELU instead
of ReLU;
5. no dropout, since every function of a learner is deterministic.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from metacl_run.core.bounds import Layers, Width
from metacl_run.core.errors import require
from metacl_run.models.network import Model, token_shape
from metacl_run.models.token_layers import mean_over_words
from metacl_run.models.transformer_block import Block, Blocks, products

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
        width: width of a word's vector in every layer.
        layers: blocks of attention and a perceptron.
        heads: heads of every attention; they divide the width among themselves.
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
        blocks = [Block(self.width, self.heads, EXPANSION * self.width) for _ in range(self.layers)]
        return Transformer(shape.vocabulary, shape[0], self.width, blocks, head)


class Transformer(nn.Module):
    """Token numbers [N, L] -> outputs [N, ...] of `head`."""

    def __init__(self, vocabulary: int, length: int, width: int, blocks: list[Block], head: nn.Module) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.empty(length, width))
        for vectors in (self.words.weight, self.positions):
            nn.init.normal_(vectors, std=DEVIATION)
        self.blocks, self.norm, self.head = Blocks(blocks), nn.LayerNorm(width), head

    def forward(self, x: Tensor) -> Tensor:
        features = self.words(x) + self.positions
        scores = FAR * (x == 0).to(features.dtype)[:, None, None]  # [N, heads, queries, keys]
        for block in self.blocks:
            queries, keys, values = block.projected(features)
            weights = (products(queries, keys) + scores).softmax(-1)
            features = block.joined(features, weights @ values)
        outputs: Tensor = self.head(mean_over_words(self.norm(features), x))
        return outputs

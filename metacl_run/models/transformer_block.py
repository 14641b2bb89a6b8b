"""A block of a transformer: attention among tokens, then a perceptron for each token, both with a residual connection.

Layers are normalised before they are applied (Xiong et al. 2020, arXiv 2002.04745), with GELU. What attends to what is for the
caller to say; attention is written as products, since the fused kernels cannot be differentiated twice under vmap.

Shapes: L tokens, H heads, D the width of a head.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import cast

from torch import Tensor, nn


class Block(nn.Module):
    """Layers of a block.

    Args:
        width: of a token.
        heads: they divide the width among them.
        hidden: width of the perceptron's hidden layer.
    """

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.inputs, self.mixed = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def projected(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens [..., L, width] -> queries, keys and values [..., H, L, D]."""
        split = self.inputs(self.first_norm(tokens)).unflatten(-1, (3, self.heads, -1))
        queries, keys, values = split.transpose(-4, -2).unbind(-3)
        return queries, keys, values

    def joined(self, tokens: Tensor, attended: Tensor) -> Tensor:
        """Tokens [..., L, width] and what they attended to [..., H, L, D] -> tokens of the next block."""
        tokens = tokens + self.mixed(attended.transpose(-3, -2).flatten(-2))
        hidden = nn.functional.gelu(self.wide(self.second_norm(tokens)), approximate="tanh")
        outputs: Tensor = tokens + self.narrow(hidden)
        return outputs


class Blocks(nn.ModuleList):
    """Blocks, one after another."""

    def __iter__(self) -> Iterator[Block]:
        return cast(Iterator[Block], super().__iter__())


def products(queries: Tensor, keys: Tensor) -> Tensor:
    """Scores [..., L, keys] of queries [..., L, D] and keys [..., keys, D], divided by the root of D."""
    return queries @ keys.transpose(-1, -2) / math.sqrt(queries.shape[-1])

"""A transformer that learns a sequence of examples by reading it, on features of another model.

An example is one token: the vector of its input and the vector of its target. A query has zeros in place of the target.

From the start, a query takes the targets of the examples with similar inputs: queries and keys start as `sharpness` times the
input of a token, values as the token itself, the perceptrons at 0, and answers read the half of the target. (With the usual
initialisation, 500 trajectories of glyphs taught nothing: where to attend and what to take are useless without each other.)

Shapes: N examples, W half the width of a token, T numbers of a target.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from metacl_run.core.types import Params, Pytree
from metacl_run.models.network import Model
from metacl_run.models.sequence_attention import SequenceAttention
from metacl_run.models.transformer_block import Block, Blocks

QUERIES_AT_ONCE = 512
"""Queries whose attention is in memory together."""


@dataclass(frozen=True, kw_only=True)
class SequenceTransformerModel(Model):
    """Builds a transformer on another model.

    Attributes:
        inner: makes the vector of an input: W outputs.
        width: of a token, 2 W.
        layers, heads, hidden: as in `transformer_block.Block`.
        target_size: T; None: as many as the network has outputs.
        sharpness: how much more the examples that are most like a query count, from the start.
    """

    inner: Model
    width: int
    layers: int
    heads: int
    hidden: int
    target_size: int | None
    sharpness: float

    @property
    def takes_tokens(self) -> bool:  # type: ignore[override]
        return self.inner.takes_tokens

    def build(self, input_shape: tuple[int, ...], num_outputs: int | None) -> nn.Module:
        size = num_outputs if self.target_size is None else self.target_size
        assert size is not None, "a target has a size"
        blocks = [Block(self.width, self.heads, self.hidden) for _ in range(self.layers)]
        return SequenceTransformer(
            self.inner.build(input_shape, self.width // 2), blocks, self.width // 2, size, self.sharpness
        )

    def start(self, params: Params, seed: int) -> Params:
        return self.inner.start(params, seed)


class SequenceTransformer(nn.Module):
    """Inputs [N, ...] -> vectors [N, W]."""

    def __init__(self, body: nn.Module, blocks: list[Block], half: int, target_size: int, sharpness: float) -> None:
        super().__init__()
        self.body, self.targets, self.blocks = body, nn.Linear(target_size, half), Blocks(blocks)
        self.norm, self.answer = nn.LayerNorm(2 * half), nn.Linear(2 * half, target_size)
        self._start(half, target_size, sharpness)

    @torch.no_grad()
    def _start(self, half: int, target_size: int, sharpness: float) -> None:
        """Sets the weights that the text above names; offsets are 0."""
        nn.init.orthogonal_(self.targets.weight)
        self.answer.weight.copy_(torch.cat([torch.zeros(target_size, half), self.targets.weight.T], 1))
        of_input = torch.eye(half).tile(2, 1)
        reads_input = sharpness * torch.cat([of_input, torch.zeros(2 * half, half)], 1)
        for block in self.blocks:
            block.inputs.weight.copy_(torch.cat([reads_input, reads_input, torch.eye(2 * half)]))
            block.mixed.weight.copy_(torch.eye(2 * half))
            block.narrow.weight.zero_()
            for layer in (block.inputs, block.mixed, block.narrow):
                layer.bias.zero_()
        for layer in (self.targets, self.answer):
            layer.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        vectors: Tensor = self.body(x)
        return vectors

    def empty(self, attention: SequenceAttention, vectors: Tensor) -> tuple[Pytree, ...]:
        """The state of every layer before the first example."""
        width = 2 * vectors.shape[-1]
        return tuple(attention.empty(vectors, block.heads, width // block.heads) for block in self.blocks)

    def learning(self, attention: SequenceAttention) -> nn.Module:
        """Vectors of inputs [N, W], targets [N, T] and a state -> the state after these examples."""
        return _Learning(self, attention)

    def answering(self, attention: SequenceAttention) -> nn.Module:
        """Vectors of queries [N, W] and a state -> predicted targets [N, T]."""
        return _Answering(self, attention)


class _Learning(nn.Module):
    def __init__(self, whole: SequenceTransformer, attention: SequenceAttention) -> None:
        super().__init__()
        self.targets, self.blocks, self.attention = whole.targets, whole.blocks, attention

    def forward(self, inputs: tuple[Tensor, Tensor, tuple[Pytree, ...]]) -> tuple[Pytree, ...]:
        vectors, targets, layers = inputs
        tokens, after = torch.cat([vectors, self.targets(targets)], -1), []
        for block, state in zip(self.blocks, layers, strict=True):
            attended, state = self.attention.learn(state, *block.projected(tokens))
            tokens = block.joined(tokens, attended)
            after.append(state)
        return tuple(after)


class _Answering(nn.Module):
    def __init__(self, whole: SequenceTransformer, attention: SequenceAttention) -> None:
        super().__init__()
        self.blocks, self.norm, self.answer, self.attention = whole.blocks, whole.norm, whole.answer, attention

    def forward(self, inputs: tuple[Tensor, tuple[Pytree, ...]]) -> Tensor:
        vectors, layers = inputs
        tokens = torch.cat([vectors, torch.zeros_like(vectors)], -1)
        return torch.cat([self._answers(part, layers) for part in tokens.split(QUERIES_AT_ONCE)])

    def _answers(self, tokens: Tensor, layers: tuple[Pytree, ...]) -> Tensor:
        for block, state in zip(self.blocks, layers, strict=True):
            tokens = block.joined(tokens, self.attention.answer(state, *block.projected(tokens)))
        answers: Tensor = self.answer(self.norm(tokens))
        return answers

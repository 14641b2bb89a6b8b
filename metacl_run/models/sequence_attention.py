"""Attention to a growing sequence: the state that earlier tokens leave, and how later tokens attend to it.

A token attends to those before it and to itself. Tokens are learned some at a time, `learn`; queries attend to what was learned
and to themselves, not to each other, `answer`.

Shapes: H heads, N tokens of a call, D the width of a head, C the context.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import elu

from metacl_run.core.types import Pytree
from metacl_run.models.transformer_block import products

HIDDEN = -1e9
"""The score of a place that a token does not see."""


class SequenceAttention(abc.ABC):
    """A kind of attention; queries, keys and values are [H, N, D]."""

    @abc.abstractmethod
    def empty(self, like: Tensor, heads: int, width: int) -> Pytree:
        """The state before the first token, with the type and device of a tensor; `width`: D."""

    @abc.abstractmethod
    def learn(self, state: Pytree, queries: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Pytree]:
        """What further tokens attend to, [H, N, D], and the state after them."""

    @abc.abstractmethod
    def answer(self, state: Pytree, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """What queries attend to, [H, N, D]."""


class Window(NamedTuple):
    """The last tokens, on the right."""

    keys: Tensor
    """[H, C, D]."""
    values: Tensor
    """[H, C, D]."""
    number: Tensor
    """Scalar int64, how many there are; places further left are empty."""


@dataclass(frozen=True)
class SoftmaxAttention(SequenceAttention):
    """Attention to the last tokens (Vaswani et al. 2017, arXiv 1706.03762): softmax(Q K' / sqrt(D)) V.

    Attributes:
        context: C, tokens before its own that a token sees; older ones are forgotten.
    """

    context: int

    def empty(self, like: Tensor, heads: int, width: int) -> Window:
        zeros = like.new_zeros(heads, self.context, width)
        return Window(zeros, zeros.clone(), torch.zeros((), dtype=torch.int64, device=like.device))

    def learn(self, state: Window, queries: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Window]:
        count = queries.shape[-2]
        all_keys, all_values = torch.cat([state.keys, keys], -2), torch.cat([state.values, values], -2)
        place = torch.arange(self.context + count, device=queries.device)
        token = torch.arange(count, device=queries.device).unsqueeze(1)
        is_seen = (place >= token) & (place <= self.context + token) & (place >= self.context - state.number)  # [N, C + N]
        attended = products(queries, all_keys).masked_fill(~is_seen, HIDDEN).softmax(-1) @ all_values
        number = (state.number + count).clamp(max=self.context)
        return attended, Window(all_keys[..., count:, :], all_values[..., count:, :], number)

    def answer(self, state: Window, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        is_seen = torch.arange(self.context, device=queries.device) >= self.context - state.number
        past = products(queries, state.keys).masked_fill(~is_seen, HIDDEN)
        own = products(queries.unsqueeze(-2), keys.unsqueeze(-2)).squeeze(-1)
        weights = torch.cat([past, own], -1).softmax(-1)
        attended: Tensor = weights[..., :-1] @ state.values + weights[..., -1:] * values
        return attended


class FeatureSums(NamedTuple):
    """Sums over tokens, with f the features of a key k and v its value."""

    values: Tensor
    """[H, D, D] of f v'."""
    features: Tensor
    """[H, D, 1] of f."""


@dataclass(frozen=True)
class LinearAttention(SequenceAttention):
    """Attention whose state does not grow (Katharopoulos et al. 2020, arXiv 2006.16236): with f = elu + 1 of queries and keys,
    the sum of f(q)'f(k) v over the sum of f(q)'f(k)."""

    def empty(self, like: Tensor, heads: int, width: int) -> FeatureSums:
        return FeatureSums(like.new_zeros(heads, width, width), like.new_zeros(heads, width, 1))

    def learn(self, state: FeatureSums, queries: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, FeatureSums]:
        queries, keys = elu(queries) + 1, elu(keys) + 1
        weights = (queries @ keys.transpose(-1, -2)).tril()
        attended = (weights @ values + queries @ state.values) / (weights.sum(-1, keepdim=True) + queries @ state.features)
        features = keys.transpose(-1, -2)
        return attended, FeatureSums(state.values + features @ values, state.features + features.sum(-1, keepdim=True))

    def answer(self, state: FeatureSums, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        queries, keys = elu(queries) + 1, elu(keys) + 1
        own = (queries * keys).sum(-1, keepdim=True)
        attended: Tensor = (own * values + queries @ state.values) / (own + queries @ state.features)
        return attended

"""Plain SGD along a trajectory, one batch after another, on the plastic part of a network.

Where the head is one linear layer, its weights are never formed step by step. SGD only ever adds multiples of the features that
the layer was shown to them: after steps on features f_1 .. f_t the outputs for features f are

    z(f) = W f + b - rate * sum over s <= t of (f . f_s + 1) c_s,   c_s = d loss / d outputs, at step s

so that a step costs products of vectors, not of matrices, and the whole is a differentiable function of W, b and the features.
Where nothing else is plastic, all features are known before learning. The same numbers as `inner.adapt` up to rounding
(tests/algorithms/meta_continual/test_trajectory.py), in a fraction of its time.

Shapes: S steps of B examples each, Q queries, D features, C outputs.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import grad
from torch.nn.functional import linear
from torch.utils._pytree import tree_map

from metacl_run.core.types import Params, Pytree
from metacl_run.inner.adapt import adapt
from metacl_run.inner.optimizers import Sgd
from metacl_run.models.base import Cut


def outputs_after(
    cut: Cut, params: Params, x: Pytree, y: Tensor, queries: Pytree, *, rate: float | Tensor, first_order: bool
) -> Tensor:
    """The outputs [Q, C] for `queries` when the plastic part has taken one step on each batch in turn.

    A differentiable function of `params` and of what is frozen; with `first_order` the steps are constants of it.

    Args:
        cut: the network, cut before its plastic part.
        params: all parameters; where the steps start.
        x: what `cut.before` gives for the examples, [S, B, ...].
        y: [S, B] or [S, B, dimensions].
        queries: what it gives for these, [Q, ...].
        rate: of SGD on the mean loss of a batch.
    """
    x = tree_map(torch.detach, x) if first_order else x
    if not cut.linear:
        return cut.after(_stepped(cut, params, x, y, rate, first_order), queries)
    path = _walk(cut, params, x, y, rate, first_order)
    features, (weight, bias) = cut.features(path.params, queries), (params[name] for name in cut.last)
    return linear(features, weight, bias) - rate * (features @ path.features.T + 1) @ path.slopes


def learn(cut: Cut, params: Params, x: Pytree, y: Tensor, *, rate: float | Tensor) -> Params:
    """The plastic parameters after one step on each batch in turn, as constants; arguments as in `outputs_after`."""
    with torch.no_grad():
        if not cut.linear:
            return cut.plastic(_stepped(cut, params, x, y, rate, True))
        path = _walk(cut, params, x, y, rate, True)
        weight, bias = (params[name] for name in cut.last)
        moved = weight - rate * (path.slopes.T @ path.features), bias - rate * path.slopes.sum(0)
        return cut.plastic({**path.params, **dict(zip(cut.last, moved, strict=True))})


def _stepped(cut: Cut, params: Params, x: Pytree, y: Tensor, rate: float | Tensor, first_order: bool) -> Params:
    moved, _ = adapt(
        lambda params, batch: cut.objective.loss(cut.after(params, batch[0]), batch[1]),
        params,
        [tree_map(lambda leaf: leaf[step], (x, y)) for step in range(len(y))],  # noqa: B023
        optimizer=Sgd(),
        rate=rate,
        plastic=cut.names,
        first_order=first_order,
    )
    return moved


class _Path(NamedTuple):
    """Steps that were taken; the last layer's, implied."""

    params: Params
    """After them, but for the last layer, which is where it started."""
    features: Tensor
    """[S * B, D] what the last layer was shown."""
    slopes: Tensor
    """[S * B, C] derivatives of every step's loss by its outputs."""


def _walk(cut: Cut, params: Params, x: Pytree, y: Tensor, rate: float | Tensor, first_order: bool) -> _Path:
    constant = torch.detach if first_order else lambda leaf: leaf
    start = tree_map(constant, params)
    weight, bias = (start[name] for name in cut.last)
    steps, size = y.shape[:2]
    fast = {name: params[name] for name in cut.names if name not in cut.last}
    slopes: list[Tensor] = []
    if not fast:
        flat = x.flatten(0, 1)
        outputs, products = linear(flat, weight, bias), flat @ flat.T + 1
        for step in range(steps):
            rows = slice(step * size, (step + 1) * size)
            now = outputs[rows]
            if slopes:
                now = now - rate * products[rows, : step * size] @ torch.cat(slopes)
            slopes.append(cut.objective.slope(now, y[step]) / size)
        return _Path(params, flat, torch.cat(slopes))
    features: list[Tensor] = []
    for step in range(steps):

        def objective(moving: Params, step: int = step) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            shown = cut.features({**start, **moving}, tree_map(lambda leaf: leaf[step], x))
            now = linear(shown, weight, bias)
            if slopes:
                now = now - rate * (shown @ torch.cat(features).T + 1) @ torch.cat(slopes)
            return cut.objective.loss(now, y[step]), (shown, now)

        gradients, (shown, now) = grad(objective, has_aux=True)(tree_map(constant, fast))
        features.append(constant(shown))
        slopes.append(constant(cut.objective.slope(now, y[step]) / size))
        fast, _ = Sgd().update(gradients, {}, fast, rate)
    return _Path({**params, **fast}, torch.cat(features), torch.cat(slopes))

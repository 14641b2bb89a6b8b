"""Plain SGD along a trajectory, one batch after another, on the plastic part of a network.

Where that part is one linear layer, its weights are never formed step by step. SGD only ever adds multiples of what it was
shown to them: after steps on x_1 .. x_t the outputs for x are

    z(x) = W x + b - rate * sum over s <= t of (x . x_s + 1) c_s,   c_s = d loss / d outputs, at step s

so that a step costs products with vectors that are known before learning, and the whole is a differentiable function of W, b
and the features. The same numbers as `inner.adapt` up to rounding (tests/test_trajectory.py), in a fraction of its time.

Shapes: S steps of B examples each, Q queries, D features, C outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.utils._pytree import tree_map

from metacl_run.inner.adapt import adapt
from metacl_run.inner.optimizers import Sgd
from metacl_run.models.base import Cut
from metacl_run.objectives import Objective
from metacl_run.types import Params, Pytree


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
    if cut.linear:
        weight, bias = (params[name] for name in cut.last)
        start = (weight.detach(), bias.detach()) if first_order else (weight, bias)
        slopes, seen = _slopes(*start, x, y, rate, cut.objective), x.flatten(0, 1)
        return linear(queries, weight, bias) - rate * (queries @ seen.T + 1) @ slopes
    return cut.after(_stepped(cut, params, x, y, rate, first_order), queries)


def learn(cut: Cut, params: Params, x: Pytree, y: Tensor, *, rate: float | Tensor) -> Params:
    """The plastic parameters after one step on each batch in turn, as constants; arguments as in `outputs_after`."""
    with torch.no_grad():
        if not cut.linear:
            return cut.plastic(_stepped(cut, params, x, y, rate, True))
        weight, bias = (params[name] for name in cut.last)
        slopes = _slopes(weight, bias, x, y, rate, cut.objective)
        moved = weight - rate * (slopes.T @ x.flatten(0, 1)), bias - rate * slopes.sum(0)
        return dict(zip(cut.last, moved, strict=True))


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


def _slopes(weight: Tensor, bias: Tensor, x: Tensor, y: Tensor, rate: float | Tensor, objective: Objective) -> Tensor:
    """[S * B, C] derivatives of every step's loss by its outputs; x is [S, B, D]."""
    steps, size = x.shape[:2]
    flat = x.flatten(0, 1)
    start, products = linear(flat, weight, bias), flat @ flat.T + 1
    found: list[Tensor] = []
    for step in range(steps):
        rows = slice(step * size, (step + 1) * size)
        outputs = start[rows]
        if found:
            outputs = outputs - rate * products[rows, : step * size] @ torch.cat(found)
        found.append(objective.slope(outputs, y[step]) / size)
    return torch.cat(found) if found else start

"""Plain SGD along a trajectory, one batch after another, on the plastic part of a network; a linear head is never formed.

SGD only ever adds multiples of the features that the linear layer received to its weights: after steps on features f_1 .. f_t
the outputs for features f are

    z(f) = W f + b - rate * sum over s <= t of (f . f_s + 1) c_s,   c_s = d loss / d outputs, at step s

so that a step costs products of vectors, not of matrices, and the whole is a differentiable function of W, b and the features.
Where nothing else is plastic, all features are known before learning. The numbers are those of `inner.adapt` up to rounding
(tests/algorithms/meta_continual/test_trajectory.py), in a fraction of its time. Any other plastic part goes through `adapt`.

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
from metacl_run.inner.adapt import adapt, constants
from metacl_run.inner.optimizers import Sgd, descend
from metacl_run.models.split_network import SplitNetwork


def outputs_after(
    split: SplitNetwork, params: Params, x: Pytree, y: Tensor, queries: Pytree, *, rate: float | Tensor, first_order: bool
) -> Tensor:
    """Returns the outputs [Q, C] for `queries` after the plastic part has taken one step on each batch in turn.

    They are a differentiable function of `params` and of the frozen part; with `first_order` the steps are constants of it.

    Args:
        split: the network, split before its plastic part.
        params: all parameters; the plastic ones are where the steps start.
        x: the frozen part of the examples, [S, B, ...].
        y: [S, B] or [S, B, dimensions].
        queries: the frozen part of the queries, [Q, ...].
        rate: of SGD on the mean loss of a batch.
    """
    x = tree_map(torch.detach, x) if first_order else x
    if not split.linear:
        return split.rest(_stepped(split, params, x, y, rate, first_order), queries)
    path = _walk(split, params, x, y, rate, first_order)
    features, (weight, bias) = split.last_features(path.params, queries), (params[name] for name in split.last)
    return linear(features, weight, bias) - rate * (features @ path.features.T + 1) @ path.slopes


def learn(split: SplitNetwork, params: Params, x: Pytree, y: Tensor, *, rate: float | Tensor) -> Params:
    """Returns the plastic parameters after one step on each batch in turn, as constants; arguments as in `outputs_after`."""
    with torch.no_grad():
        if not split.linear:
            return split.plastic(_stepped(split, params, x, y, rate, True))
        path = _walk(split, params, x, y, rate, True)
        weight, bias = (params[name] for name in split.last)
        moved = weight - rate * (path.slopes.T @ path.features), bias - rate * path.slopes.sum(0)
        return split.plastic({**path.params, **dict(zip(split.last, moved, strict=True))})


def _stepped(split: SplitNetwork, params: Params, x: Pytree, y: Tensor, rate: float | Tensor, first_order: bool) -> Params:
    moved, _ = adapt(
        split.loss,
        params,
        [tree_map(lambda leaf: leaf[step], (x, y)) for step in range(len(y))],  # noqa: B023
        optimizer=Sgd(),
        rate=rate,
        plastic=split.plastic_names,
        first_order=first_order,
    )
    return moved


class _Path(NamedTuple):
    """The steps of a trajectory; those of the last layer are implied."""

    params: Params
    """All parameters after the steps, but the last layer as it started."""
    features: Tensor
    """[S * B, D] the inputs of the last layer at every step."""
    slopes: Tensor
    """[S * B, C] derivatives of every step's loss by its outputs."""


def _walk(split: SplitNetwork, params: Params, x: Pytree, y: Tensor, rate: float | Tensor, first_order: bool) -> _Path:
    if any(name not in split.last for name in split.plastic_names):
        return _walk_with_body(split, params, x, y, rate, first_order)
    start = constants(params, first_order)
    weight, bias = (start[name] for name in split.last)
    steps, size = y.shape[:2]
    features = x.flatten(0, 1)
    outputs, products = linear(features, weight, bias), features @ features.T + 1
    slopes: list[Tensor] = []
    for step in range(steps):
        rows = slice(step * size, (step + 1) * size)
        now = outputs[rows]
        if slopes:
            now = now - rate * products[rows, : step * size] @ torch.cat(slopes)
        slopes.append(split.objective.slope(now, y[step]) / size)
    return _Path(params, features, torch.cat(slopes))


def _walk_with_body(
    split: SplitNetwork, params: Params, x: Pytree, y: Tensor, rate: float | Tensor, first_order: bool
) -> _Path:
    """The same where more than the last layer is plastic: features change from step to step."""
    start = constants(params, first_order)
    weight, bias = (start[name] for name in split.last)
    fast = {name: params[name] for name in split.plastic_names if name not in split.last}
    features: list[Tensor] = []
    slopes: list[Tensor] = []
    for step in range(len(y)):

        def objective(moving: Params, step: int = step) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            here = split.last_features({**start, **moving}, tree_map(lambda leaf: leaf[step], x))
            now = linear(here, weight, bias)
            if slopes:
                now = now - rate * (here @ torch.cat(features).T + 1) @ torch.cat(slopes)
            return split.objective.loss(now, y[step]), (here, now)

        gradient, (here, now) = grad(objective, has_aux=True)(constants(fast, first_order))
        slope = split.objective.slope(now, y[step]) / y.shape[1]
        features.append(here.detach() if first_order else here)
        slopes.append(slope.detach() if first_order else slope)
        fast = descend(gradient, fast, rate)
    return _Path({**params, **fast}, torch.cat(features), torch.cat(slopes))

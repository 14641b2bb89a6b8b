"""Conjugate gradients (Hestenes and Stiefel 1952) for a number of steps that is fixed, so that they can be mapped."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from metacl_run.core.types import Params
from metacl_run.inner.flat import SideBySide


def conjugate_gradient(product: Callable[[Params], Params], right: Params, steps: int) -> Params:
    """Solves A x = right approximately, from x = 0, for a symmetric matrix A.

    Once a direction has no positive curvature, as where A is not positive definite, or nothing is left to solve, x stays. Where
    that is the first one, x is the right side itself, as in a truncated Newton method (Nocedal and Wright 2006, algorithm 7.1).

    Args:
        product: gives A v for v of the shape of `right`.
        right: the right side, tensors of one dtype.
        steps: as many as there are unknowns would solve it exactly but for rounding.
    """
    layout = SideBySide(right)

    def of_flat(vector: Tensor) -> Tensor:
        flat: Tensor = layout.flat(product(layout.shaped({"all": vector})))["all"]
        return flat

    residual: Tensor = layout.flat(right)["all"]
    solution, direction, square = torch.zeros_like(residual), residual, residual @ residual
    goes_on = torch.ones((), dtype=torch.bool, device=residual.device)
    for step in range(steps):
        image = of_flat(direction)
        curvature = direction @ image
        goes_on = goes_on & (curvature > 0) & (square > 0)
        length = torch.where(goes_on, square / torch.where(goes_on, curvature, 1), 0)
        if step == 0:
            solution = torch.where(goes_on, solution, residual)
        solution, residual = solution + length * direction, residual - length * image
        previous, square = square, residual @ residual
        turned = residual + square / torch.where(goes_on, previous, 1) * direction
        direction = torch.where(goes_on, turned, direction)  # else it would grow without bound
    solved: Params = layout.shaped({"all": solution})
    return solved

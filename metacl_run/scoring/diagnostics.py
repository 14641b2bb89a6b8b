"""What can be seen inside a learner: how tasks' gradients agree, how far features have drifted, what rates were learned.

Pure functions; protocols decide when to look and at which samples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metacl_run.core.types import Params

QUANTILES = {"low": 0.1, "median": 0.5, "high": 0.9}


def gradient_alignment(gradients: Tensor) -> Tensor:
    """Cosines between the rows of [K, P] -> [K, K]: below 0, a step for one task raises the loss of the other, to first order
    (GEM, Lopez-Paz and Ranzato 2017, arXiv 1706.08840, equation 7). NaN where a gradient is 0, which has no direction."""
    units = gradients / gradients.norm(dim=1, keepdim=True)
    return (units @ units.T).clamp(-1, 1)


def linear_cka(x: Tensor, y: Tensor) -> Tensor:
    """Similarity of two sets of features [N, p] and [N, q] of the same N samples, in [0, 1], a scalar in float64.

    Linear centred kernel alignment, |Y'X|^2 / (|X'X| |Y'Y|) in Frobenius norms with centred columns (Kornblith et al. 2019,
    arXiv 1905.00414, section 3). 1: the same up to rotation, reflection and one scale. NaN where features do not vary.
    """
    x, y = (each.double() - each.double().mean(0) for each in (x, y))
    return (y.T @ x).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm())


def rates_by_layer(rates: Params) -> dict[str, dict[str, list[float]]]:
    """Learned rates [R, ...] by parameter -> {layer: {"mean", "low", "median", "high": [R]}} over a layer's weights and biases
    together; low and high are the 10% and 90% quantiles. A layer is named as its module, "body.0" of "body.0.weight"."""
    layers: dict[str, list[np.ndarray]] = {}
    for name, values in rates.items():
        layers.setdefault(name.rpartition(".")[0] or name, []).append(values.detach().double().flatten(1).cpu().numpy())
    found = {}
    for layer, parts in layers.items():
        joined = np.concatenate(parts, axis=1)  # [R, elements]
        quantiles = np.quantile(joined, list(QUANTILES.values()), axis=1).tolist()
        found[layer] = {"mean": joined.mean(axis=1).tolist(), **dict(zip(QUANTILES, quantiles, strict=True))}
    return found


def features_by_layer(module: nn.Module, forward: Callable[[], Tensor], columns: int) -> dict[str, Tensor]:
    """What each layer with weights hands on to the next one, {layer: [N, at most `columns`]} float32 on the CPU.

    A layer is a module that itself holds a parameter of two dimensions or more: a linear map, a convolution. It hands on what
    the next such module is given, so after normalisation, nonlinearity and pooling, however these are written; the last one,
    the output. Of [N, C, ...] the mean over positions is taken; of more than `columns` units, so many spread evenly. An input
    that several modules share, as at the start of a residual block, counts once.

    Args:
        module: any module that `forward` calls.
        forward: one pass of N samples.
        columns: see above.
    """
    found: dict[str, Tensor] = {}
    given: list[Tensor] = []
    last: list[str] = []

    def hand_on(x: Tensor) -> None:
        if last and not any(x is earlier for earlier in given):
            some = torch.linspace(0, x.shape[1] - 1, min(x.shape[1], columns), device=x.device).round().long()
            kept = x.index_select(1, some).to(torch.float32)
            found[last[-1]] = (kept.flatten(2).mean(2) if kept.dim() > 2 else kept).cpu()
        given.append(x)  # kept, so that no later tensor can take its place in memory

    def before(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            hand_on(inputs[0])
            last.append(name)

        return hook

    hooks = [
        each.register_forward_pre_hook(before(name or "network"))
        for name, each in module.named_modules()
        if any(parameter.dim() > 1 for parameter in each.parameters(recurse=False))
    ]
    try:
        with torch.no_grad():
            hand_on(forward())
    finally:
        for hook in hooks:
            hook.remove()
    return found

"""Measures inside a learner: agreement of tasks' gradients, drift of features, learned rates by layer.

Pure functions; protocols decide when to call them and on which samples.
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
    """Returns the cosines [K, K] between the rows of [K, P]; NaN where a gradient is 0, which has no direction.

    Below 0, a step for one task raises the loss of the other, to first order (GEM, Lopez-Paz and Ranzato 2017, arXiv
    1706.08840, equation 7).
    """
    lengths: Tensor = torch.linalg.vector_norm(gradients, dim=1, keepdim=True)
    units = gradients / lengths
    return (units @ units.T).clamp(-1, 1)


def linear_cka(x: Tensor, y: Tensor) -> Tensor:
    """Returns the similarity of two sets of features [N, p] and [N, q] of the same N samples, in [0, 1], a float64 scalar.

    Linear centred kernel alignment, |Y'X|^2 / (|X'X| |Y'Y|) in Frobenius norms with centred columns (Kornblith et al. 2019,
    arXiv 1905.00414, section 3). 1: the same up to rotation, reflection and one scale. NaN where features do not vary.
    """
    x, y = (features.double() - features.double().mean(0) for features in (x, y))
    similarity: Tensor = (y.T @ x).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm())
    return similarity


def rates_by_layer(rates: Params) -> dict[str, dict[str, list[float]]]:
    """Summarises learned rates [R, ...] by parameter as {layer: {"mean", "low", "median", "high": [R]}}.

    A parameter may have one rate for all its elements, [R]. A layer's weights and biases count together; low and high are the
    10% and 90% quantiles. A layer has the name of its module: "body.0" for "body.0.weight".
    """
    layers: dict[str, list[np.ndarray]] = {}
    for name, values in rates.items():
        elements_of = values.detach().double().reshape(len(values), -1).cpu().numpy()
        layers.setdefault(name.rpartition(".")[0] or name, []).append(elements_of)
    summary = {}
    for layer, parts in layers.items():
        elements = np.concatenate(parts, axis=1)  # [R, elements]
        quantiles = np.quantile(elements, list(QUANTILES.values()), axis=1).tolist()
        summary[layer] = {"mean": elements.mean(axis=1).tolist(), **dict(zip(QUANTILES, quantiles, strict=True))}
    return summary


def features_by_layer(module: nn.Module, forward: Callable[[], Tensor], columns: int) -> dict[str, Tensor]:
    """Returns the features of every layer with weights, {layer: [N, at most `columns`]} float32 on the CPU.

    A layer is a module with a parameter of its own of two dimensions or more: a linear map, a convolution. Its features are the
    input of the next such module, that is after normalisation, nonlinearity and pooling, however these are written; the
    features of the last layer are the output. [N, C, ...] is averaged over positions, and so is the input of a linear layer,
    [N, ..., C]; of more than `columns` units, so many are taken, spread evenly. An input that several modules share, as at the
    start of a residual block, counts once.

    Args:
        module: any module that `forward` calls.
        forward: one pass of N samples.
        columns: most units of a layer.
    """
    features: dict[str, Tensor] = {}
    inputs: list[Tensor] = []
    layers: list[str] = []

    def record(x: Tensor, last: bool = False) -> None:
        """Records the input of a layer, whose `last` axis or else axis 1 has units, as the features of the layer before."""
        original = x
        if layers and not any(x is earlier for earlier in inputs):
            x = x.movedim(-1, 1) if last else x
            units = torch.linspace(0, x.shape[1] - 1, min(x.shape[1], columns), device=x.device).round().long()
            chosen = x.index_select(1, units).to(torch.float32)
            features[layers[-1]] = (chosen.flatten(2).mean(2) if chosen.dim() > 2 else chosen).cpu()
        inputs.append(original)  # a reference, so that no later tensor can take its place in memory

    def before(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(layer: nn.Module, arguments: tuple[Any, ...]) -> None:
            record(arguments[0], last=isinstance(layer, nn.Linear))
            layers.append(name)

        return hook

    hooks = [
        layer.register_forward_pre_hook(before(name or "network"))
        for name, layer in module.named_modules()
        if any(parameter.dim() > 1 for parameter in layer.parameters(recurse=False))
    ]
    try:
        with torch.no_grad():
            record(forward())
    finally:
        for hook in hooks:
            hook.remove()
    return features

"""Plain SGD on one small batch after another: torch operations step by step, or one compiled call where the network allows it.

Both give the same numbers. The compiled call (kernels/perceptron.py) takes classifiers made of linear layers and ReLU, on the
CPU, and has no derivative: it is for methods that need none through these steps.

Shapes: G groups of S steps, each on B samples.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import grad_and_value

from metacl_run.core.types import Params, Samples, WeightedSamples
from metacl_run.inner.optimizers import Sgd, clipped_update
from metacl_run.inner.states import part_of_the_way
from metacl_run.kernels import perceptron
from metacl_run.models.network import Network
from metacl_run.scoring.objectives import CLASSIFICATION


def compiled(network: Network, params: Params, x: Tensor) -> bool:
    """Whether these steps can be one compiled call."""
    layers = network.plain_layers
    if layers is None or network.masks is not None or network.objective is not CLASSIFICATION:
        return False
    return perceptron.usable(x, [params[name] for name in layers])


def sgd(
    network: Network, params: Params, steps: WeightedSamples, *, rate: float | Tensor, beta: float = 1.0
) -> tuple[Params, Tensor]:
    """Takes a step on each batch in turn; after each group goes back to before + beta * (after - before).

    Args:
        network: learns by its objective.
        params: where the steps start.
        steps: [G, S, B]; a step's loss is the weighted sum over its samples, over the sum of weights or 1 where that is less.
        rate: of SGD; the compiled call takes a number alone, and a tensor [] means torch operations.
        beta: 1: plain SGD all along.

    Returns:
        The parameters after the last group, constants without a gradient path, and the weighted mean loss of the samples, each
        before its step.
    """
    samples, weight = steps
    if not isinstance(rate, Tensor) and compiled(network, params, samples.x):
        assert network.plain_layers is not None
        moved, loss = perceptron.sgd(*_kernel_arguments(network, params, samples), weight, rate=rate, beta=beta)
        return dict(zip(network.plain_layers, moved, strict=True)), loss
    total = torch.zeros_like(weight[0, 0, 0])
    for group in range(weight.shape[0]):
        before = params
        for step in range(weight.shape[1]):
            batch = steps.at(group).at(step)
            with torch.no_grad():
                gradient, loss = grad_and_value(network.weighted_loss)(params, *batch)
                total = total + loss * batch.weight.sum().clamp(min=1)
                params, _ = clipped_update(Sgd(), gradient, {}, params, rate, norm=None, value=None)
        params = part_of_the_way(before, params, beta)
    return params, total / weight.sum().clamp(min=1)


def look_ahead(
    network: Network, params: Params, rates: Params, samples: Samples, joint: WeightedSamples
) -> tuple[Params, Params, Tensor]:
    """La-MAML's meta-objective along steps with a rate for each element, and its first-order derivatives, where `compiled`.

    Args:
        params, rates: alike; rates at least 0.
        samples: [S], an inner step on each.
        joint: [B], on which the loss is taken after each step.

    Returns:
        Derivatives with respect to `params` and to `rates`, and the loss, all of the mean over the steps.
    """
    names = network.plain_layers
    assert names is not None
    parameters, x, y = _kernel_arguments(network, params, samples)
    meta = joint.samples.x.flatten(1), joint.samples.y, joint.weight
    by_params, by_rates, loss = perceptron.look_ahead(parameters, [rates[name] for name in names], (x, y), meta)
    return dict(zip(names, by_params, strict=True)), dict(zip(names, by_rates, strict=True)), loss


def _kernel_arguments(network: Network, params: Params, samples: Samples) -> tuple[list[Tensor], Tensor, Tensor]:
    assert network.plain_layers is not None
    return [params[name] for name in network.plain_layers], samples.x.flatten(samples.y.ndim), samples.y

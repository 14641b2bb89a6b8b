"""SGD in small steps on a perceptron on a CUDA card: a few wide products, and in their midst one Triton launch for all steps.

A step adds to the first layer's weight only a multiple of its inputs x_t: -rate * slope_t x_t', with slope_t the derivative of
the loss with respect to the layer's outputs. So before step m the layer's output is

    x_m W' - sum over earlier t of slope_t * K[m, t],    K[m, t] = rate * (x_m . x_t + 1)

(the 1 is of the offset), and its weight, most of a perceptron's numbers, need not be formed step by step: K is one product
before the steps, the final weight one after. With rates R for each element K has the outputs as an axis: R (x_m * x_t).

Shapes: P problems, N samples of one, D inputs, H outputs of the first layer; else those of `perceptron.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from metacl_run.kernels import operators

MOST_LAYERS = 4
MOST_OUTPUTS = 512
MOST_SAMPLES = 256
"""K grows with their square, and one program's work with it."""

_SGD = operators.define(
    "perceptron_sgd",
    "Tensor start, Tensor gram, Tensor(a!) net, Tensor y, Tensor weight, Tensor(b!) hidden, Tensor(c!) slopes, "
    "Tensor(d!) losses, int[] widths, int[] counts, float rate, float beta",
    "perceptron_triton",
    "sgd",
)
_LOOK_AHEAD = operators.define(
    "perceptron_look_ahead",
    "Tensor start, Tensor gram, Tensor net, Tensor rates, Tensor y, Tensor weight, Tensor(a!) hidden, Tensor(b!) slopes, "
    "Tensor(c!) losses, int[] widths",
    "perceptron_triton",
    "look_ahead",
)


def fits(x: Tensor, parameters: Sequence[Tensor]) -> bool:
    """Whether these sizes are what the kernels are for; x: all samples of one problem."""
    offsets = parameters[1::2]
    few = len(offsets) <= MOST_LAYERS and all(offset.shape[-1] <= MOST_OUTPUTS for offset in offsets)
    return few and x.numel() <= MOST_SAMPLES * parameters[0].shape[-1]


def sgd(x: Tensor, y: Tensor, weight: Tensor, parameters: Sequence[Tensor], *, rate: float, beta: float) -> list[Tensor]:
    """`perceptron.sgd` on tensors with a leading axis P. Returns the parameters and the losses [P]."""
    first, offset, *upper = parameters
    samples, widths = x.flatten(1, 3), _widths(parameters)
    start = torch.baddbmm(offset.unsqueeze(1), samples, first.mT)
    gram = torch.baddbmm(x.new_ones(1, 1, 1), samples, samples.mT, beta=rate, alpha=rate)
    net = _joined(upper, start)
    shape = len(x), len(widths), samples.shape[1], max(widths)
    hidden, slopes, losses = x.new_empty(shape), x.new_empty(shape), x.new_empty(len(x))
    rows, counts = (y.flatten(1).contiguous(), weight.flatten(1).contiguous()), list(y.shape[1:])
    _SGD(start, gram, net, *rows, hidden, slopes, losses, widths, counts, rate, beta)
    changes = slopes[:, 0, :, : widths[0]]
    moved = torch.baddbmm(first, changes.mT, samples, alpha=-rate), torch.sub(offset, changes.sum(1), alpha=rate)
    return [*moved, *_parted(net, upper), losses]


def look_ahead(
    steps: tuple[Tensor, Tensor], meta: tuple[Tensor, Tensor, Tensor], parameters: Sequence[Tensor], rates: Sequence[Tensor]
) -> list[Tensor]:
    """`perceptron.look_ahead` on tensors with a leading axis P. Returns both derivatives and the losses [P]."""
    (x, y), (u, v, weight) = steps, meta
    count, widths = x.shape[1], _widths(parameters)
    samples, labels = torch.cat([x, u], 1), torch.cat([y, v], 1)
    weights = torch.cat([x.new_ones(1, 1).expand(len(x), count), weight], 1)
    start = torch.baddbmm(parameters[1].unsqueeze(1), samples, parameters[0].mT)
    pairs = samples.unsqueeze(2) * x.unsqueeze(1)  # [P, S + B, S, D]
    gram = torch.baddbmm(rates[1].unsqueeze(1), pairs.flatten(1, 2), rates[0].mT).view(*pairs.shape[:3], -1)
    # One more column than there are outputs: its ones are the input that an offset is the weight of.
    shape = len(x), count, len(widths), samples.shape[1], max(widths) + 1
    hidden, slopes, losses = x.new_ones(shape), x.new_empty(shape), x.new_empty(len(x), count)
    net, net_rates = _joined(parameters[2:], start), _joined(rates[2:], start)
    _LOOK_AHEAD(start, gram, net, net_rates, labels, weights, hidden, slopes, losses, widths)
    own = -slopes[:, -1, :, :count]  # [P, L, S, wide]: the longest path has all steps
    # Sums over steps are products: torch has no cumsum on a card that promises equal bits.
    up_to = x.new_ones(1, count, count).tril().expand(len(x), -1, -1)
    later = _along_steps(up_to.mT, slopes[:, :, 0, count:, : widths[0]])  # [P, S, B, H], of a step and all after it
    first = _first_derivatives(u, pairs[:, count:], own[:, 0, :, : widths[0]], later)
    by_parameter, by_rate = [*first[:2]], [*first[2:]]
    for layer in range(1, len(widths)):
        inputs, outputs = hidden[:, :, layer - 1, :, : widths[layer - 1] + 1], widths[layer]
        path = own[:, layer, :, :outputs].unsqueeze(3) * inputs[:, -1, :count].unsqueeze(2)  # [P, S, out, in + 1]
        ahead = slopes[:, :, layer, count:, :outputs].mT @ inputs[:, :, count:]
        for derivative, parts in ((ahead.sum(1), by_parameter), ((_along_steps(up_to, path) * ahead).sum(1), by_rate)):
            parts += [derivative[..., :-1], derivative[..., -1]]
    cut = [torch.ops.aten.threshold_backward(d, rate, 0) for d, rate in zip(by_rate, rates, strict=True)]
    return [*by_parameter, *cut, losses.sum(1)]


def _along_steps(weights: Tensor, values: Tensor) -> Tensor:
    """Sums of values [P, S, ...] over the steps, by weights [P, S, S]."""
    return torch.bmm(weights, values.flatten(2)).view_as(values)


def _first_derivatives(u: Tensor, pairs: Tensor, own: Tensor, later: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The first layer's derivatives with respect to weight and offset, and to the rates of each; perceptron.cpp has the sums.

    Args:
        u: [P, B, D] the meta-batch.
        pairs: [P, B, S, D] its products with the samples of the steps.
        own: [P, S, H] slopes of the steps, negative.
        later: [P, S, B, H] slopes of the meta-batch after every step, summed over it and all after it.
    """
    whole, coefficients = later[:, 0], own.unsqueeze(2) * later
    by_rate = torch.bmm(coefficients.transpose(1, 2).flatten(1, 2).mT, pairs.flatten(1, 2))
    return torch.bmm(whole.mT, u), whole.sum(1), by_rate, coefficients.sum((1, 2))


def _widths(parameters: Sequence[Tensor]) -> list[int]:
    return [offset.shape[1] for offset in parameters[1::2]]


def _joined(parameters: Sequence[Tensor], like: Tensor) -> Tensor:
    """Returns [P, numbers]: layers as `perceptron_triton` wants them, or one unused number for none."""
    if not parameters:
        return like.new_empty(len(like), 1)
    return torch.cat([parameter.flatten(1) for parameter in parameters], 1)


def _parted(net: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    """The inverse of `_joined`, as views."""
    parts = torch.split(net, [parameter[0].numel() for parameter in parameters], 1) if parameters else ()
    return [part.unflatten(1, parameter.shape[1:]) for part, parameter in zip(parts, parameters, strict=True)]

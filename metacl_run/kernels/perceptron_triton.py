# ruff: noqa: SIM108
# mypy: disable-error-code="no-untyped-def, untyped-decorator, misc"
"""The sequential part of `perceptron_gram.py`: all steps of an observation in one launch, a Triton program for each path.

A program computes a step layer by layer, on tiles of a layer's weights. What some of its threads write the others read behind a
barrier of the program; programs share nothing that they write, so there are no atomics and no waits for one another. Products
are sums of products, in float32 and float64 alike: `tl.dot` takes float64 on some cards only, and pads one sample to 16.

Shapes: P problems; N rows, the samples of a problem; L layers. `hidden` and `slopes` [P, L, N, wide] hold the outputs of every
layer, after ReLU, and the derivatives of a step's loss with respect to what they were before it. `net` [P, numbers] holds the
layers above the first, of each the weight and then the offset. All tensors are contiguous.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE = 8192
"""Most weights that a program holds at once."""
WARPS = 8


class Layer(NamedTuple):
    """A layer above the first, as constants of a kernel."""

    inputs: int
    outputs: int
    place: int
    """Of its weight, in `net`."""
    inputs_padded: int
    outputs_padded: int
    rows: int
    """Outputs whose weights are a tile."""
    columns: int
    """Inputs whose weights are a tile."""


class Plan(NamedTuple):
    """The sizes of a problem, as constants of a kernel. What is padded is a power of 2, as Triton's tiles must be."""

    layers: int
    upper: tuple[Layer, ...]
    numbers: int
    """Of `net`."""
    samples: int
    wide: int
    first: int
    first_padded: int
    last: int
    last_padded: int
    earlier: int
    """Rows of `gram` at once."""

    @staticmethod
    def of(widths: list[int], samples: int, wide: int) -> Plan:
        """Returns the plan for layers with these numbers of outputs."""
        upper, place = [], 0
        for inputs, outputs in itertools.pairwise(widths):
            across, down = triton.next_power_of_2(inputs), triton.next_power_of_2(outputs)
            tile = min(down, max(1, TILE // across)), min(across, max(1, TILE // down))
            upper.append(Layer(inputs, outputs, place, across, down, *tile))
            place += outputs * (inputs + 1)
        first, last = triton.next_power_of_2(widths[0]), triton.next_power_of_2(widths[-1])
        earlier = min(triton.next_power_of_2(samples), max(1, TILE // first))
        return Plan(len(widths), tuple(upper), place, samples, wide, widths[0], first, widths[-1], last, earlier)


@triton.jit
def _first(start, gram, hidden, slopes, row, batch, before, gram_columns, by_element: tl.constexpr, plan: tl.constexpr):
    """Writes the first layer of rows: the outputs at the start, less what the steps on rows 0 to `before` have changed."""
    columns = tl.arange(0, plan.first_padded)
    inside = columns < plan.first
    for own in range(row, row + batch):
        z = tl.load(start + own * plan.first + columns, mask=inside, other=0.0)
        for t in range(0, before, plan.earlier):
            rows = t + tl.arange(0, plan.earlier)
            both = (rows < before)[:, None] & inside[None, :]
            slope = tl.load(slopes + rows[:, None] * plan.wide + columns[None, :], mask=both, other=0.0)
            places = own * gram_columns + rows
            if by_element:
                product = tl.load(gram + places[:, None] * plan.first + columns[None, :], mask=both, other=0.0)
                z -= tl.sum(product * slope, 0)
            else:
                product = tl.load(gram + places, mask=rows < before, other=0.0)
                z -= tl.sum(product[:, None] * slope, 0)
        if plan.layers > 1:
            z = tl.where(z <= 0, 0.0, z)  # NaN passes: a diverged run has to show
        tl.store(hidden + own * plan.wide + columns, z, mask=inside)


@triton.jit
def _up(net, hidden, row, batch, above: tl.constexpr, plan: tl.constexpr):
    """Writes the outputs of layer `above` for rows, from those of the layer below."""
    layer: tl.constexpr = plan.upper[above - 1]
    size: tl.constexpr = plan.samples * plan.wide
    columns = tl.arange(0, layer.inputs_padded)
    for top in range(0, layer.outputs, layer.rows):
        rows = top + tl.arange(0, layer.rows)
        outputs = rows < layer.outputs
        places = layer.place + rows[:, None] * layer.inputs + columns[None, :]
        weight = tl.load(net + places, mask=outputs[:, None] & (columns < layer.inputs)[None, :], other=0.0)
        offset = tl.load(net + layer.place + layer.outputs * layer.inputs + rows, mask=outputs, other=0.0)
        for own in range(row, row + batch):
            at = own * plan.wide
            x = tl.load(hidden + (above - 1) * size + at + columns, mask=columns < layer.inputs, other=0.0)
            z = tl.sum(weight * x[None, :], 1) + offset
            if above + 1 < plan.layers:
                z = tl.where(z <= 0, 0.0, z)
            tl.store(hidden + above * size + at + rows, z, mask=outputs)


@triton.jit
def _top(hidden, slopes, y, weight, row, batch: tl.constexpr, parts: tl.constexpr, plan: tl.constexpr):
    """Writes the slopes of the last layer: of the weighted mean cross-entropy of rows, over `parts`.

    Returns the loss, and the sum of the weights.
    """
    rows = tl.arange(0, triton.next_power_of_2(batch))
    total = tl.sum(tl.load(weight + row + rows, mask=rows < batch, other=0.0))
    columns = tl.arange(0, plan.last_padded)
    inside = columns < plan.last
    last: tl.constexpr = (plan.layers - 1) * plan.samples * plan.wide
    loss = tl.zeros_like(total)
    for own in range(row, row + batch):
        share = tl.load(weight + own) / tl.maximum(total, 1.0) / parts
        z = tl.load(hidden + last + own * plan.wide + columns, mask=inside, other=-float("inf"))
        is_target = columns == tl.load(y + own)
        most = tl.max(z)
        e = tl.exp(z - most)
        e_sum = tl.sum(e)
        slope = share * (e / e_sum - tl.where(is_target, 1.0, 0.0))
        tl.store(slopes + last + own * plan.wide + columns, tl.where(share == 0, 0.0, slope), mask=inside)
        entropy = tl.log(e_sum) + most - tl.sum(tl.where(is_target, z, 0.0))
        loss += tl.where(share == 0, 0.0, share * entropy)
    return loss, total


@triton.jit
def _down(
    net, rates, hidden, slopes, row, batch, rate: tl.constexpr, moves: tl.constexpr, above: tl.constexpr, plan: tl.constexpr
):  # fmt: skip
    """Writes the slopes of the layer below `above` for rows, and with `moves` takes the step of layer `above` on them."""
    layer: tl.constexpr = plan.upper[above - 1]
    size: tl.constexpr = plan.samples * plan.wide
    rows = tl.arange(0, layer.outputs_padded)
    outputs = rows < layer.outputs
    for left in range(0, layer.inputs, layer.columns):
        columns = left + tl.arange(0, layer.columns)
        inputs = columns < layer.inputs
        places = layer.place + rows[:, None] * layer.inputs + columns[None, :]
        inside = outputs[:, None] & inputs[None, :]
        weight = tl.load(net + places, mask=inside, other=0.0)
        gradient = tl.zeros_like(weight)
        for own in range(row, row + batch):
            below = (above - 1) * size + own * plan.wide + columns
            slope = tl.load(slopes + above * size + own * plan.wide + rows, mask=outputs, other=0.0)
            x = tl.load(hidden + below, mask=inputs, other=0.0)
            through = tl.sum(weight * slope[:, None], 0)
            tl.store(slopes + below, tl.where(x <= 0, 0.0, through), mask=inputs)
            gradient += slope[:, None] * x[None, :]
        if moves:
            _move(net, rates, places, inside, weight, gradient, rate)
    if moves:
        places = layer.place + layer.outputs * layer.inputs + rows
        offset = tl.load(net + places, mask=outputs, other=0.0)
        gradient = tl.zeros_like(offset)
        for own in range(row, row + batch):
            gradient += tl.load(slopes + above * size + own * plan.wide + rows, mask=outputs, other=0.0)
        _move(net, rates, places, outputs, offset, gradient, rate)


@triton.jit
def _move(net, rates, places, inside, value, gradient, rate: tl.constexpr):
    """Writes value - rate * gradient, by the rate of every element where there are `rates`."""
    if rates is not None:
        moved = value - tl.load(rates + places, mask=inside, other=0.0) * gradient
    else:
        moved = value - rate * gradient
    tl.debug_barrier()  # small tiles are held by several threads: all must have read before one writes
    tl.store(net + places, moved, mask=inside)


@triton.jit
def _step(
    start, gram, net, rates, hidden, slopes, y, weight, row, before, gram_columns,
    batch: tl.constexpr, rate: tl.constexpr, parts: tl.constexpr, moves: tl.constexpr, plan: tl.constexpr,
):  # fmt: skip
    """Computes rows after the steps on rows 0 to `before`, and with `moves` takes a step on them. Returns as `_top`."""
    layers: tl.constexpr = plan.layers
    _first(start, gram, hidden, slopes, row, batch, before, gram_columns, rates is not None, plan)
    for above in tl.static_range(1, layers):
        tl.debug_barrier()
        _up(net, hidden, row, batch, above, plan)
    tl.debug_barrier()
    loss, total = _top(hidden, slopes, y, weight, row, batch, parts, plan)
    for depth in tl.static_range(1, layers):
        tl.debug_barrier()
        _down(net, rates, hidden, slopes, row, batch, rate, moves, layers - depth, plan)
    tl.debug_barrier()
    return loss, total


@triton.jit
def _sgd(
    start, gram, net, before, y, weight, hidden, slopes, losses,
    groups: tl.constexpr, steps: tl.constexpr, batch: tl.constexpr, rate: tl.constexpr, beta: tl.constexpr, plan: tl.constexpr,
):  # fmt: skip
    """Takes all steps of one problem."""
    p = tl.program_id(0).to(tl.int64)
    start += p * plan.samples * plan.first
    gram += p * plan.samples * plan.samples
    net += p * plan.numbers
    before += p * plan.numbers
    y += p * plan.samples
    weight += p * plan.samples
    hidden += p * plan.layers * plan.samples * plan.wide
    slopes += p * plan.layers * plan.samples * plan.wide
    if beta != 1:
        _copy(net, before, plan.numbers)
    loss_sum = tl.zeros((), losses.dtype.element_ty)
    counted = tl.zeros((), losses.dtype.element_ty)
    for group in range(groups):
        for step in range(steps):
            row = (group * steps + step) * batch
            loss, total = _step(
                start, gram, net, None, hidden, slopes, y, weight, row, row, plan.samples, batch, rate, 1, True, plan
            )  # fmt: skip
            loss_sum += loss * tl.maximum(total, 1.0)
            counted += total
        if beta != 1:
            _pull(net, before, slopes, group * steps * batch, steps * batch, beta, plan)
    tl.store(losses + p, loss_sum / tl.where(counted == 0, 1.0, counted))


@triton.jit
def _copy(source, target, numbers: tl.constexpr):
    for first in range(0, numbers, 1024):
        places = first + tl.arange(0, 1024)
        tl.store(target + places, tl.load(source + places, mask=places < numbers), mask=places < numbers)
    tl.debug_barrier()


@triton.jit
def _pull(net, before, slopes, row, rows: tl.constexpr, beta: tl.constexpr, plan: tl.constexpr):
    """Goes back to before + beta * (net - before): in the first layer, whose change is a sum over slopes, by the slopes."""
    for first in range(0, plan.numbers, 1024):
        places = first + tl.arange(0, 1024)
        inside = places < plan.numbers
        old = tl.load(before + places, mask=inside)
        pulled = old + beta * (tl.load(net + places, mask=inside) - old)
        tl.store(net + places, pulled, mask=inside)
        tl.store(before + places, pulled, mask=inside)
    columns = tl.arange(0, plan.first_padded)
    for own in range(row, row + rows):
        slope = tl.load(slopes + own * plan.wide + columns, mask=columns < plan.first)
        tl.debug_barrier()
        tl.store(slopes + own * plan.wide + columns, beta * slope, mask=columns < plan.first)
    tl.debug_barrier()


@triton.jit
def _look_ahead(
    start, gram, net, paths, rates, y, weight, hidden, slopes, losses,
    steps: tl.constexpr, batch: tl.constexpr, plan: tl.constexpr,
):  # fmt: skip
    """Walks the path of one problem to one of its steps and measures the meta-batch there: every step has its program."""
    p, last = tl.program_id(0).to(tl.int64), tl.program_id(1)
    path = p * steps + last
    start += p * plan.samples * plan.first
    gram += p * plan.samples * steps * plan.first
    rates += p * plan.numbers
    y += p * plan.samples
    weight += p * plan.samples
    hidden += path * plan.layers * plan.samples * plan.wide
    slopes += path * plan.layers * plan.samples * plan.wide
    own = paths + path * plan.numbers
    _copy(net + p * plan.numbers, own, plan.numbers)
    for step in range(last + 1):
        _step(start, gram, own, rates, hidden, slopes, y, weight, step, step, steps, 1, 0, 1, True, plan)
    loss, _ = _step(
        start, gram, own, rates, hidden, slopes, y, weight, steps, last + 1, steps, batch, 0, steps, False, plan
    )  # fmt: skip
    tl.store(losses + path, loss)


def sgd(
    start: Tensor,
    gram: Tensor,
    net: Tensor,
    y: Tensor,
    weight: Tensor,
    hidden: Tensor,
    slopes: Tensor,
    losses: Tensor,
    widths: list[int],
    counts: list[int],
    rate: float,
    beta: float,
) -> None:
    """Takes G groups of S steps on B samples.

    Args:
        start: [P, N, H], the first layer's outputs before the steps, N = G * S * B.
        gram: [P, N, N], by how much a slope of row n changes the first layer's output at row m, negative.
        net, hidden, slopes: see the top of this module; `slopes` of the first layer come back as what remains of each after
            `beta`.
        y, weight: [P, N].
        losses: [P], written.
        widths: outputs of every layer.
        counts: G, S, B.
        rate, beta: as in `perceptron.sgd`.
    """
    plan = Plan.of(widths, start.shape[1], hidden.shape[3])
    before = torch.empty_like(net) if beta != 1 else net
    tensors = start, gram, net, before, y, weight, hidden, slopes, losses
    assert all(tensor.is_contiguous() for tensor in tensors)
    _sgd[(len(start),)](*tensors, *counts, rate, beta, plan, num_warps=WARPS, num_stages=1)


def look_ahead(
    start: Tensor,
    gram: Tensor,
    net: Tensor,
    rates: Tensor,
    y: Tensor,
    weight: Tensor,
    hidden: Tensor,
    slopes: Tensor,
    losses: Tensor,
    widths: list[int],
) -> None:
    """Takes S inner steps, and after each measures the meta-batch of B.

    Args:
        start: [P, S + B, H], the first layer's outputs at the start, of the steps' samples and then of the meta-batch.
        gram: [P, S + B, S, H], by how much a slope of step s changes the first layer's output at a row, negative.
        net: see the top of this module, and `rates` like it.
        y, weight: [P, S + B].
        hidden, slopes: [P, S, L, S + B, wide], of the path to every step. Slopes of the meta-batch are of the mean loss over
            the steps.
        losses: [P, S], written: the share of every step in the mean loss.
        widths: outputs of every layer.
    """
    steps, rows = gram.shape[2], start.shape[1]
    plan = Plan.of(widths, rows, hidden.shape[4])
    paths = net.new_empty(len(start), steps, plan.numbers)
    tensors = start, gram, net, paths, rates, y, weight, hidden, slopes, losses
    assert all(tensor.is_contiguous() for tensor in tensors)
    _look_ahead[(len(start), steps)](*tensors, steps, rows - steps, plan, num_warps=WARPS, num_stages=1)

"""Batch norm (batch statistics) + ReLU + max pool on CUDA: the Triton twin of norm_relu_pool.cpp, which explains the shapes.

A program has one channel of one problem, M = N * H * W values, and goes through them block by block, all sums in a fixed order:
mean, centred squares, (sums of the derivative,) result. It reads them again each time, from the cache of its multiprocessor:
at 5 images of 28 x 28 they are 16 KB. Whatever the type of the tensors, it computes in float32, or float64 for float64.

A block is half of the values, of 64 to 4,096 (a power of 2), and a warp has eight values a lane: 5 images of 28 x 28 are two
rounds of 2,048 values with 8 warps. Small planes (Conv4's last block, images normalised alone) have one program of one warp
each, of which a multiprocessor runs 32 at once: 4,224 channels on an H100, so that to give a program several of them would only
leave multiprocessors empty. The sizes are not tuned by trial, since another block size is another order of the sums.

H, W and P are compiled in: divisions by them then are multiplications, as they have to be, for division would take longer than
memory. N and the strides are not, so that a network is compiled once for every size of its images, whatever their number.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

SMALLEST_BLOCK, LARGEST_BLOCK = 64, 4096
VALUES_OF_A_WARP = 256


# --------------------------------------------------------------------------------------------- one channel of one problem


@triton.jit
def _elements(start, N, sn, HW: tl.constexpr, BLOCK: tl.constexpr):
    """Offsets of a block of elements, their numbers within the image, and which there are."""
    i = start + tl.arange(0, BLOCK)
    n = i // HW
    inside = i - n * HW
    return n.to(tl.int64) * sn + inside, inside, i < N * HW


@triton.jit
def _windows(start, N, sn, pn, H: tl.constexpr, W: tl.constexpr, P: tl.constexpr, WINDOWS: tl.constexpr):
    """Offsets of the upper left elements of a block of windows and of their pooled elements, and which there are."""
    WO: tl.constexpr = W // P
    HWO: tl.constexpr = H // P * WO
    i = start + tl.arange(0, WINDOWS)
    n = i // HWO
    inside = i - n * HWO
    row = inside // WO
    corner = n.to(tl.int64) * sn + row * P * W + (inside - row * WO) * P
    return corner, n.to(tl.int64) * pn + inside, i < N * HWO


@triton.jit
def _statistics(x, N, sn, HW: tl.constexpr, EPS: tl.constexpr, REAL: tl.constexpr, BLOCK: tl.constexpr):
    """The mean, and 1 / sqrt(variance + eps)."""
    total = tl.zeros([BLOCK], REAL)
    for start in range(0, N * HW, BLOCK):
        at, _, is_there = _elements(start, N, sn, HW, BLOCK)
        total += tl.load(x + at, is_there, 0).to(REAL)
    count = (N * HW).to(REAL)
    mean = tl.sum(total) / count
    square = tl.zeros([BLOCK], REAL)
    for start in range(0, N * HW, BLOCK):
        at, _, is_there = _elements(start, N, sn, HW, BLOCK)
        centred = tl.where(is_there, tl.load(x + at, is_there, 0).to(REAL) - mean, 0)
        square += centred * centred
    return mean, 1 / tl.sqrt(tl.sum(square) / count + EPS)


@triton.jit
def _winners(x, corner, is_there, k, mean, offset, W: tl.constexpr, P: tl.constexpr, REAL: tl.constexpr):
    """z = k * (x - mean) + offset at the first of the largest of every window, and where that is, from the window's corner.

    Every kernel must find the same winners, so the product and the sum are one operation that no compiler can part.
    """
    best = tl.fma(k, tl.load(x + corner, is_there, 0).to(REAL) - mean, offset)
    place = tl.zeros_like(corner)
    for tap in tl.static_range(1, P * P):
        value = tl.load(x + corner + (tap // P * W + tap % P), is_there, 0).to(REAL)
        z = tl.fma(k, value - mean, offset)
        place = tl.where(z > best, tap // P * W + tap % P, place)
        best = tl.where(z > best, z, best)
    return best, place


@triton.jit
def _is_left_over(inside, H: tl.constexpr, W: tl.constexpr, P: tl.constexpr):
    """Whether elements are in rows and columns that fill no window."""
    row = inside // W
    return (row >= H // P * P) | (inside - row * W >= W // P * P)


# ------------------------------------------------------------------------------------------------------------ the kernels
# Offsets into tensors can exceed 32 bits, numbers of values within one channel cannot.

SIZES = ["C", "N", "sb", "sn", "sc", "pb", "pn", "pc", "vb", "wb"]
"""Sizes and strides as norm_relu_pool.cpp names them; vb and wb are from problem to problem, of scale and of offset."""


@triton.jit(do_not_specialize=SIZES)
def _forward(
    x, scale, offset, y,
    C, N, sb, sn, sc, pb, pn, pc, vb, wb,
    H: tl.constexpr, W: tl.constexpr, P: tl.constexpr, EPS: tl.constexpr, REAL: tl.constexpr,
    BLOCK: tl.constexpr, WINDOWS: tl.constexpr,
):  # fmt: skip
    b, c = (tl.program_id(0) // C).to(tl.int64), (tl.program_id(0) % C).to(tl.int64)
    x, y = x + b * sb + c * sc, y + b * pb + c * pc
    mean, r = _statistics(x, N, sn, H * W, EPS, REAL, BLOCK)
    k, d = tl.load(scale + b * vb + c).to(REAL) * r, tl.load(offset + b * wb + c).to(REAL)
    for start in range(0, N * (H // P) * (W // P), WINDOWS):
        corner, at, is_there = _windows(start, N, sn, pn, H, W, P, WINDOWS)
        z, _ = _winners(x, corner, is_there, k, mean, d, W, P, REAL)
        tl.store(y + at, tl.where(z <= 0, 0, z), is_there)


@triton.jit(do_not_specialize=SIZES)
def _backward(
    x, scale, offset, gy, gx, gscale, goffset,
    C, N, sb, sn, sc, pb, pn, pc, vb, wb,
    H: tl.constexpr, W: tl.constexpr, P: tl.constexpr, EPS: tl.constexpr, REAL: tl.constexpr,
    BLOCK: tl.constexpr, WINDOWS: tl.constexpr,
):  # fmt: skip
    g = tl.program_id(0).to(tl.int64)
    b, c = g // C, g % C
    x, gy, gx = x + b * sb + c * sc, gy + b * pb + c * pc, gx + b * sb + c * sc
    mean, r = _statistics(x, N, sn, H * W, EPS, REAL, BLOCK)
    k, d = tl.load(scale + b * vb + c).to(REAL) * r, tl.load(offset + b * wb + c).to(REAL)
    sum1, sum2 = tl.zeros([WINDOWS], REAL), tl.zeros([WINDOWS], REAL)
    for start in range(0, N * (H // P) * (W // P), WINDOWS):
        corner, at, is_there = _windows(start, N, sn, pn, H, W, P, WINDOWS)
        z, place = _winners(x, corner, is_there, k, mean, d, W, P, REAL)
        gz = tl.where(z <= 0, 0, tl.load(gy + at, is_there, 0).to(REAL))
        sum1 += gz
        sum2 += gz * (tl.load(x + corner + place, is_there, 0).to(REAL) - mean)
    s1, s2, count = tl.sum(sum1), tl.sum(sum2) * r, (N * H * W).to(REAL)
    tl.store(goffset + g, s1)
    tl.store(gscale + g, s2)
    # gx = k * gz + (g0 + g1 * (x - mean))
    g0, g1 = -k * s1 / count, -k * s2 / count * r
    for start in range(0, N * (H // P) * (W // P), WINDOWS):
        corner, at, is_there = _windows(start, N, sn, pn, H, W, P, WINDOWS)
        z, place = _winners(x, corner, is_there, k, mean, d, W, P, REAL)
        gz = tl.where(z <= 0, 0, tl.load(gy + at, is_there, 0).to(REAL))
        for tap in tl.static_range(P * P):
            step = tap // P * W + tap % P
            centred = tl.load(x + corner + step, is_there, 0).to(REAL) - mean
            won = tl.where(place == step, gz, 0)
            tl.store(gx + corner + step, k * won + (g0 + g1 * centred), is_there)
    if H % P + W % P != 0:
        for start in range(0, N * H * W, BLOCK):
            at, inside, is_there = _elements(start, N, sn, H * W, BLOCK)
            is_there = is_there & _is_left_over(inside, H, W, P)
            tl.store(gx + at, g0 + g1 * (tl.load(x + at, is_there, 0).to(REAL) - mean), is_there)


@triton.jit(do_not_specialize=[*SIZES, "ub", "tb", "ab", "an", "ac"])
def _double_backward(
    x, scale, offset, gy, a, cotangent_scale, cotangent_offset, ggy, xx, gscale,
    C, N, sb, sn, sc, pb, pn, pc, vb, wb, ub, tb, ab, an, ac,
    H: tl.constexpr, W: tl.constexpr, P: tl.constexpr, EPS: tl.constexpr, REAL: tl.constexpr,
    BLOCK: tl.constexpr, WINDOWS: tl.constexpr,
):  # fmt: skip
    g = tl.program_id(0).to(tl.int64)
    b, c = g // C, g % C
    x, a, xx = x + b * sb + c * sc, a + b * ab + c * ac, xx + b * sb + c * sc
    gy, ggy = gy + b * pb + c * pc, ggy + b * pb + c * pc
    mean, r = _statistics(x, N, sn, H * W, EPS, REAL, BLOCK)
    gr, d = tl.load(scale + b * vb + c).to(REAL) * r, tl.load(offset + b * wb + c).to(REAL)
    beta, delta = tl.load(cotangent_scale + b * ub + c).to(REAL), tl.load(cotangent_offset + b * tb + c).to(REAL)
    sum_a, sum_ax = tl.zeros([BLOCK], REAL), tl.zeros([BLOCK], REAL)
    for start in range(0, N * H * W, BLOCK):
        at, _, is_there = _elements(start, N, sn, H * W, BLOCK)
        a_at, _, _ = _elements(start, N, an, H * W, BLOCK)
        value = tl.load(a + a_at, is_there, 0).to(REAL)
        sum_a += value
        sum_ax += value * (tl.load(x + at, is_there, 0).to(REAL) - mean)
    sum1, sum2, sum_k = tl.zeros([WINDOWS], REAL), tl.zeros([WINDOWS], REAL), tl.zeros([WINDOWS], REAL)
    for start in range(0, N * (H // P) * (W // P), WINDOWS):
        corner, at, is_there = _windows(start, N, sn, pn, H, W, P, WINDOWS)
        a_corner, _, _ = _windows(start, N, an, pn, H, W, P, WINDOWS)
        z, place = _winners(x, corner, is_there, gr, mean, d, W, P, REAL)
        gz = tl.where(z <= 0, 0, tl.load(gy + at, is_there, 0).to(REAL))
        sum1 += gz
        sum2 += gz * (tl.load(x + corner + place, is_there, 0).to(REAL) - mean)
        sum_k += gz * tl.load(a + a_corner + place, is_there, 0).to(REAL)
    count = (N * H * W).to(REAL)
    s1, s2, sa, sax = tl.sum(sum1), tl.sum(sum2) * r, tl.sum(sum_a), tl.sum(sum_ax) * r
    am, q = sa / count, sax / count
    core = tl.sum(sum_k) - s1 * am - s2 * q
    tl.store(gscale + g, r * core)
    # h = d/dxhat = hz * gz + ha * a;  xx = r * (h - mean(h) - xhat * mean(h * xhat)) - scale * core * r^2 * xhat / M
    hz, ha = beta - gr * q, -gr * s2 / count
    kz, ka, k0 = r * hz, r * ha, -r * (hz * s1 + ha * sa) / count
    k1 = (-r * (hz * s2 + ha * sax) / count - gr * core * r / count) * r  # times (x - mean)
    za, zx, z0 = gr, hz * r, delta - gr * am
    for start in range(0, N * (H // P) * (W // P), WINDOWS):
        corner, at, is_there = _windows(start, N, sn, pn, H, W, P, WINDOWS)
        a_corner, _, _ = _windows(start, N, an, pn, H, W, P, WINDOWS)
        z, place = _winners(x, corner, is_there, gr, mean, d, W, P, REAL)
        gz = tl.where(z <= 0, 0, tl.load(gy + at, is_there, 0).to(REAL))
        centred = tl.load(x + corner + place, is_there, 0).to(REAL) - mean
        value = za * tl.load(a + a_corner + place, is_there, 0).to(REAL) + (zx * centred + z0)
        tl.store(ggy + at, tl.where(z <= 0, 0, value), is_there)
        for tap in tl.static_range(P * P):
            step = tap // P * W + tap % P
            centred = tl.load(x + corner + step, is_there, 0).to(REAL) - mean
            rest = k0 + k1 * centred + ka * tl.load(a + a_corner + step, is_there, 0).to(REAL)
            won = tl.where(place == step, gz, 0)
            tl.store(xx + corner + step, kz * won + rest, is_there)
    if H % P + W % P != 0:
        for start in range(0, N * H * W, BLOCK):
            at, inside, is_there = _elements(start, N, sn, H * W, BLOCK)
            a_at, _, _ = _elements(start, N, an, H * W, BLOCK)
            is_there = is_there & _is_left_over(inside, H, W, P)
            centred = tl.load(x + at, is_there, 0).to(REAL) - mean
            tl.store(xx + at, k0 + k1 * centred + ka * tl.load(a + a_at, is_there, 0).to(REAL), is_there)


# ----------------------------------------------------------------------------------------------------------- the launches


def forward(x: Tensor, scale: Tensor, offset: Tensor, y: Tensor, pool: int, eps: float) -> None:
    """Writes the pooled block to y. Here and below images are contiguous, B, N and C in any order."""
    _launch(_forward, x, [x, scale, offset, y], (*_order(x), *_order(y), scale.stride(0), offset.stride(0)), pool, eps)


def backward(
    x: Tensor, scale: Tensor, offset: Tensor, gy: Tensor, gx: Tensor, gscale: Tensor, goffset: Tensor, pool: int, eps: float
) -> None:
    """Writes the first derivative to gx, in the order of x, and to gscale and goffset, contiguous."""
    strides = (*_order(x), *_order(gy), scale.stride(0), offset.stride(0))
    _launch(_backward, x, [x, scale, offset, gy, gx, gscale, goffset], strides, pool, eps)


def double_backward(
    x: Tensor,
    scale: Tensor,
    offset: Tensor,
    gy: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    ggy: Tensor,
    xx: Tensor,
    gscale: Tensor,
    pool: int,
    eps: float,
) -> None:
    """Writes the derivative of `backward` for cotangents a, b, c: to ggy, in the order of gy, xx, in that of x, and gscale."""
    strides = (*_order(x), *_order(gy), *(vector.stride(0) for vector in (scale, offset, b, c)), *_order(a))
    _launch(_double_backward, x, [x, scale, offset, gy, a, b, c, ggy, xx, gscale], strides, pool, eps)


def _order(tensor: Tensor) -> tuple[int, ...]:
    return tensor.stride()[:3]


def _launch(kernel: Any, x: Tensor, tensors: list[Tensor], strides: tuple[int, ...], pool: int, eps: float) -> None:
    problems, images, channels, height, width = x.shape
    block = min(max(triton.next_power_of_2(images * height * width) // 2, SMALLEST_BLOCK), LARGEST_BLOCK)
    kernel[(problems * channels,)](
        *tensors,
        *(channels, images, *strides),
        *(height, width, pool, eps, tl.float64 if x.dtype == torch.float64 else tl.float32),
        *(block, max(block // triton.next_power_of_2(pool * pool), 1)),
        num_warps=max(block // VALUES_OF_A_WARP, 1),
    )

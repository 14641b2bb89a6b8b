"""Times batch norm, ReLU and pooling of the blocks of Conv4 as one kernel and as torch operations, with both derivatives."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, vmap

from gpu_checks.measuring import Results, kernels, median_ms
from metacl_run.kernels.norm_relu_pool import fused, is_fusable, reference

Block = Callable[[Tensor, Tensor, Tensor, int], Tensor]


def run(device: str, out: Path, quick: bool) -> None:
    results = Results(out)
    episodes, channels = (2, 32) if quick else (32, 64)
    for precision in (torch.float32, torch.bfloat16) if device == "cuda" else (torch.float32,):
        for side in (14,) if quick else (28, 14, 7, 3):
            name = f"side {side}, {str(precision).removeprefix('torch.')}"
            results.attempt(name, partial(_both_forms, device, (episodes, 5, channels, side, side), precision))


def _both_forms(device: str, size: tuple[int, ...], precision: torch.dtype) -> dict[str, Any]:
    x = torch.randn(size, device=device, dtype=precision)
    scale, offset = (torch.rand(size[0], size[2], device=device, dtype=precision) for _ in range(2))
    item: dict[str, Any] = {}
    forms = {"operations": reference} | ({"kernel": fused} if is_fusable(x[0]) else {})
    for form, block in forms.items():
        for derivative, function in _derivatives(block).items():
            work = partial(vmap(function), x, scale, offset)
            item[f"{form}{derivative}, ms"] = median_ms(work, device, seconds=0.3)
            item[f"{form}{derivative}, launches"] = kernels(work, device).get("launches")
    exact = vmap(_derivatives(reference)[", gradient"])(*(tensor.double() for tensor in (x, scale, offset)))
    for form, block in forms.items():
        gradient = vmap(_derivatives(block)[", gradient"])(x, scale, offset)
        item[f"{form}, error of the gradient"] = float((gradient - exact).norm() / exact.norm())
    return item


def _derivatives(block: Block) -> dict[str, Callable[..., Tensor]]:
    def loss(x: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
        return block(x, scale, offset, 2).square().sum()

    gradient = grad(loss)
    second = grad(lambda *arguments: gradient(*arguments).square().sum())
    return {"": partial(_pooled, block), ", gradient": gradient, ", second gradient": second}


def _pooled(block: Block, x: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    return block(x, scale, offset, 2)

"""Times convolutions whose weights differ by episode in two forms: grouped, and nine slices with one batched product."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from gpu_checks.measuring import Results, median_ms


def run(device: str, out: Path, quick: bool) -> None:
    results = Results(out)
    episodes, channels = (2, 4) if quick else (32, 64)
    for precision in ("ieee", "tf32") if device == "cuda" else ("ieee",):
        torch.backends.cuda.matmul.fp32_precision = torch.backends.cudnn.conv.fp32_precision = precision
        for benchmark in (False, True) if device == "cuda" else (False,):
            torch.backends.cudnn.benchmark = benchmark
            for side in (7,) if quick else (28, 14, 7):
                name = f"side {side}, {precision}, cudnn.benchmark {benchmark}"
                results.attempt(name, partial(_both_forms, device, episodes, channels, side))


def _both_forms(device: str, episodes: int, channels: int, side: int) -> dict[str, Any]:
    images = 5
    x = torch.rand(images, episodes * channels, side, side, device=device)
    weight = torch.rand(episodes * channels, channels, 3, 3, device=device)
    gradient = torch.rand_like(x)
    columns = torch.rand(episodes, channels * 9, images * side * side, device=device)
    flat, flat_gradient = (
        weight.view(episodes, channels, channels * 9),
        torch.rand(episodes, channels, images * side * side, device=device),
    )

    def backward(*mask: bool) -> Any:
        sides = [1, 1], [1, 1], [1, 1]
        return torch.ops.aten.convolution_backward(gradient, x, weight, None, *sides, False, [0, 0], episodes, [*mask, False])

    times = {
        "grouped": lambda: torch.conv2d(x, weight, padding=1, groups=episodes),
        "grouped, gradient of x": lambda: backward(True, False),
        "grouped, gradient of the weights": lambda: backward(False, True),
        "product": lambda: torch.bmm(flat, columns),
        "product, gradient of x": lambda: torch.bmm(flat.mT, flat_gradient),
        "product, gradient of the weights": lambda: torch.bmm(flat_gradient, columns.mT),
        "slices": lambda: _slices(x, side),
    }
    return {f"{name}, ms": median_ms(work, device, seconds=0.5) for name, work in times.items()}


def _slices(x: Tensor, side: int) -> Tensor:
    padded = pad(x, (1, 1, 1, 1))
    return torch.stack([padded[:, :, i : i + side, j : j + side] for i in range(3) for j in range(3)], 2)

"""Times convolutions whose weights differ by problem in two forms: grouped, as torch maps them, and as batched products."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, vmap

from gpu_checks.measuring import Results, median_ms
from metacl_run.kernels.convolution import batched

Form = Callable[[Tensor, Tensor], Tensor]
PROBLEMS = {"episodes": (32, 5), "seeds": (3, 160)}
"""Problems with weights of their own, and the images of each: adapted weights, and the shared ones of several seeds."""


def run(device: str, out: Path, quick: bool) -> None:
    results = Results(out)
    channels, sides = (4, (7,)) if quick else (64, (28, 14, 7))
    shapes = {"episodes": (2, 3)} if quick else PROBLEMS
    for precision in ("ieee", "tf32") if device == "cuda" else ("ieee",):
        torch.backends.cuda.matmul.fp32_precision = torch.backends.cudnn.conv.fp32_precision = precision
        for benchmark in (False, True) if device == "cuda" else (False,):
            torch.backends.cudnn.benchmark = benchmark
            for side in sides:
                for problems, (count, images) in shapes.items():
                    name = f"{problems}, side {side}, {precision}, cudnn.benchmark {benchmark}"
                    results.attempt(name, partial(_both_forms, device, (count, images, channels, side)))


def _both_forms(device: str, shape: tuple[int, int, int, int]) -> dict[str, Any]:
    count, images, channels, side = shape
    x = torch.rand(count, images, channels, side, side, device=device)
    weight = torch.rand(count, channels, channels, 3, 3, device=device)
    forms: dict[str, Form] = {"grouped": partial(torch.conv2d, padding=1), "products": partial(batched, padding=1)}
    works = {f"{name}, {what}": vmap(work) for name, form in forms.items() for what, work in _derivatives(form).items()}
    return {f"{name}, ms": median_ms(partial(work, x, weight), device, seconds=0.5) for name, work in works.items()}


def _derivatives(form: Form) -> dict[str, Callable[[Tensor, Tensor], Any]]:
    """A value and what follows from it, each with all that comes before."""

    def loss(x: Tensor, weight: Tensor) -> Tensor:
        return form(x, weight).square().mean()

    def steepness(x: Tensor, weight: Tensor) -> Tensor:
        return sum((part.square().sum() for part in grad(loss, (0, 1))(x, weight)), torch.zeros((), device=x.device))

    return {"value": form, "gradients": grad(loss, (0, 1)), "second derivatives": grad(steepness, (0, 1))}

"""A process in which Triton's kernels are interpreted, on tensors of the CPU. That is decided when the kernels are defined."""

from __future__ import annotations

import os

import torch

IMPLEMENTATIONS: list[torch.library.Library] = []
"""Kept as long as the process lives: an implementation ends with its library."""


def interpret() -> None:
    """Makes this process, in which Triton is not imported yet, take the path of a card on the CPU."""
    os.environ["TRITON_INTERPRET"] = "1"
    torch.set_num_threads(1)
    from metacl_run.kernels import (
        norm_relu_pool,
        norm_relu_pool_triton,
        operators,
        perceptron,
        perceptron_gram,
        perceptron_triton,
    )

    on_cpu = torch.library.Library("metacl_run", "IMPL")
    for name in norm_relu_pool._OPERATORS:
        on_cpu.impl(f"norm_relu_pool_{name}", getattr(norm_relu_pool_triton, name), "CPU")
    for name in ("sgd", "look_ahead"):
        on_cpu.impl(f"perceptron_{name}", getattr(perceptron_triton, name), "CPU")
    IMPLEMENTATIONS.append(on_cpu)
    norm_relu_pool._is_on_card = lambda _: True
    perceptron._of_card = lambda _: perceptron_gram
    operators.has_triton = lambda: True  # type: ignore[assignment]

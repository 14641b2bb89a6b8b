"""A multi-layer perceptron; with batch norm, the fully connected Omniglot network of Finn et al. 2017 (arXiv 1703.03400)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from metacl_run.core.bounds import Widths
from metacl_run.models.layers import BatchNorm, Perceptron
from metacl_run.models.network import Model

TRUNCATED = 0.1


def _truncated_normal(weight: Tensor) -> Tensor:
    return nn.init.trunc_normal_(weight, std=TRUNCATED, a=-2 * TRUNCATED, b=2 * TRUNCATED)


DRAWS: dict[str, Callable[[Tensor], Tensor]] = {
    "kaiming": nn.init.kaiming_normal_,
    "xavier": nn.init.xavier_uniform_,
    "truncated": _truncated_normal,
}


@dataclass(frozen=True, kw_only=True)
class Mlp(Model):
    """Fully connected layers with ReLU.

    Attributes:
        hidden: width of every hidden layer; MAML's Omniglot network is [256, 128, 64, 64].
        batch_norm: normalise after every hidden layer, by batch statistics.
        initial: how weights are drawn: "torch" as nn.Linear draws them; "kaiming" normal (fan in, gain sqrt 2) or "xavier"
            uniform, both with biases at 0; "truncated" normal of deviation 0.1 cut at two deviations, biases at 0.1 (the
            released code of A-GEM, arXiv 1812.00420, and of ER on tiny episodic memories, arXiv 1902.10486).
    """

    hidden: Widths
    batch_norm: bool
    initial: Literal["torch", "kaiming", "xavier", "truncated"]

    def build(self, input_shape: tuple[int, ...], num_outputs: int | None) -> nn.Module:
        size = math.prod(input_shape)
        layers: list[nn.Module] = []
        for width in self.hidden:
            layers.append(nn.Linear(size, width, bias=not self.batch_norm))
            layers += [BatchNorm(width), nn.ReLU()] if self.batch_norm else [nn.ReLU()]
            size = width
        module = Perceptron(nn.Sequential(*layers), nn.Identity() if num_outputs is None else nn.Linear(size, num_outputs))
        for layer in module.modules():
            if self.initial != "torch" and isinstance(layer, nn.Linear):
                DRAWS[self.initial](layer.weight)
                if layer.bias is not None:
                    nn.init.constant_(layer.bias, TRUNCATED if self.initial == "truncated" else 0.0)
        return module

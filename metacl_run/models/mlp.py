"""A multi-layer perceptron; with batch norm, the fully connected Omniglot network of Finn et al. 2017 (arXiv 1703.03400)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import Tensor, nn

from metacl_run.core.bounds import Widths
from metacl_run.models.layers import BatchNorm, Perceptron
from metacl_run.models.network import Model


def _truncated(deviation: float) -> Callable[[Tensor], Tensor]:
    return partial(nn.init.trunc_normal_, std=deviation, a=-2 * deviation, b=2 * deviation)


DRAWS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "kaiming": (nn.init.kaiming_normal_, 0.0),
    "xavier": (nn.init.xavier_uniform_, 0.0),
    "truncated": (_truncated(0.1), 0.1),
    "truncated_small": (_truncated(0.01), 0.0),
}
"""How weights are drawn, and what biases are."""


@dataclass(frozen=True, kw_only=True)
class Mlp(Model):
    """Fully connected layers with ReLU.

    Attributes:
        hidden: width of every hidden layer; MAML's Omniglot network is [256, 128, 64, 64].
        batch_norm: normalise after every hidden layer, by batch statistics.
        initial: how weights are drawn. "torch": as nn.Linear draws them; "kaiming": normal (fan in, gain sqrt 2), "xavier":
            uniform, both with biases 0; "truncated": normal of deviation 0.1, cut at two deviations, with biases 0.1 (the
            released code of A-GEM, arXiv 1812.00420, and of ER on tiny episodic memories, arXiv 1902.10486); "truncated_small":
            the same with deviation 0.01 and biases 0 (the released code of MAML, arXiv 1703.03400).
    """

    hidden: Widths
    batch_norm: bool
    initial: Literal["torch", "kaiming", "xavier", "truncated", "truncated_small"]

    def build(self, input_shape: tuple[int, ...], num_outputs: int | None) -> nn.Module:
        size = math.prod(input_shape)
        layers: list[nn.Module] = []
        for width in self.hidden:
            layers.append(nn.Linear(size, width, bias=not self.batch_norm))
            layers += [BatchNorm(width), nn.ReLU()] if self.batch_norm else [nn.ReLU()]
            size = width
        module = Perceptron(nn.Sequential(*layers), nn.Identity() if num_outputs is None else nn.Linear(size, num_outputs))
        if self.initial != "torch":
            draw, bias = DRAWS[self.initial]
            for layer in (layer for layer in module.modules() if isinstance(layer, nn.Linear)):
                draw(layer.weight)
                if layer.bias is not None:
                    nn.init.constant_(layer.bias, bias)
        return module

"""A multi-layer perceptron; with batch norm, the fully connected Omniglot network of Finn et al. 2017 (arXiv 1703.03400)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import nn

from metacl_run.errors import require
from metacl_run.models.base import Model
from metacl_run.models.layers import BatchNorm, Perceptron


@dataclass(frozen=True, kw_only=True)
class Mlp(Model):
    """Fully connected layers with ReLU.

    Attributes:
        hidden: width of every hidden layer; MAML's Omniglot network is [256, 128, 64, 64].
        batch_norm: normalise after every hidden layer, by batch statistics.
        initial: how weights are drawn: "torch" as nn.Linear does; "kaiming" normal (fan in, gain sqrt 2) or "xavier"
            uniform, both with biases at 0.
    """

    hidden: list[int]
    batch_norm: bool
    initial: Literal["torch", "kaiming", "xavier"]

    def __post_init__(self) -> None:
        require(all(width >= 1 for width in self.hidden), "hidden", self.hidden, "every width must be at least 1")

    def build(self, input_shape: tuple[int, ...], num_outputs: int | None) -> nn.Module:
        size = math.prod(input_shape)
        layers: list[nn.Module] = []
        for width in self.hidden:
            layers.append(nn.Linear(size, width, bias=not self.batch_norm))
            layers += [BatchNorm(width), nn.ReLU()] if self.batch_norm else [nn.ReLU()]
            size = width
        module = Perceptron(nn.Sequential(*layers), nn.Identity() if num_outputs is None else nn.Linear(size, num_outputs))
        draw = {"torch": None, "kaiming": nn.init.kaiming_normal_, "xavier": nn.init.xavier_uniform_}[self.initial]
        for layer in module.modules():
            if draw is not None and isinstance(layer, nn.Linear):
                draw(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        return module

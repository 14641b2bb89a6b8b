"""A small network on the features of a frozen encoder, which starts as the identity and a head of zeros.

A network with random weights must first relearn what the encoder knows. Few examples do not suffice for this: it stays below
the class means of the raw features. So a residual block x + W2 relu(W1 x) starts with W2 = 0 (Fixup, Zhang et al. 2019, arXiv
1901.09321), and the weights of the head with 0. From there, one step of gradient descent turns the head's weights into the
class means of the support set, minus what they have in common: MAML starts as the nearest class mean, and learns to do better.

Features are first scaled to one length, about that of an MNIST image, so that learning rates of SGD for images suit any
encoder. (At length 1, a linear head on CLINC150 learns too slowly; at 32, a variance of 1 in each of 1024 dimensions, it
diverges.)

With gates (`model=text_gated`) a second branch, sigmoid(V2 relu(V1 x)), multiplies the features before the head (ANML,
Beaulieu et al. 2020, arXiv 2002.09571; ANML-ER, Holla et al. 2020, arXiv 2009.04891). The branch starts at a half everywhere,
and the product is doubled, so that this network also starts as the identity.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from metacl_run.core.bounds import CountFromZero, Positive, Width
from metacl_run.models.gated_network import GatedNetwork
from metacl_run.models.layers import BodyHead
from metacl_run.models.network import Model


class _Length(nn.Module):
    """Scales every input [N, ...], flattened, to one length; 0 stays 0."""

    def __init__(self, length: float) -> None:
        super().__init__()
        self.length = length

    def forward(self, x: Tensor) -> Tensor:
        return self.length * nn.functional.normalize(x.flatten(1), dim=1)


class _TwoLayers(nn.Module):
    """W2 relu(W1 x), 0 at the start; inputs [N, width]."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(width, hidden), nn.Linear(hidden, width)
        _start_at_zero(self.last)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.last(torch.relu(self.first(x)))
        return outputs


class ResidualBlock(_TwoLayers):
    """x + W2 relu(W1 x), the identity at the start."""

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class _Scale(nn.Module):
    """Multiplies all features by one learned number."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(start))

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


class _Gate(_TwoLayers):
    """Inputs [N, width] -> [N, width] in (0, 2), 1 at the start."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * torch.sigmoid(super().forward(x))


@dataclass(frozen=True, kw_only=True)
class TextHead(Model):
    """Residual blocks, and a linear head that starts at zero.

    Attributes:
        blocks: residual blocks; 0: only the head learns, on the features scaled to `length`.
        hidden: units inside a block.
        gate_hidden: units inside the branch that gates the features; 0: no such branch.
        scale: start value of the factor of the features that a network without a head learns (in prototypical networks, logits
            are squared distances, and features of length 10 would make them too large).
        length: length to which the input features are scaled.
    """

    blocks: CountFromZero
    hidden: Width
    gate_hidden: CountFromZero
    scale: Positive
    length: Positive

    def build(self, input_shape: tuple[int, ...], num_outputs: int | None) -> nn.Module:
        width = math.prod(input_shape)
        layers: list[nn.Module] = [_Length(self.length), *(ResidualBlock(width, self.hidden) for _ in range(self.blocks))]
        if num_outputs is None:
            layers.append(_Scale(self.scale))
        body = nn.Sequential(*layers)
        head = nn.Identity() if num_outputs is None else _start_at_zero(nn.Linear(width, num_outputs))
        if self.gate_hidden == 0:
            return BodyHead(body, head)
        return GatedNetwork(nn.Sequential(_Length(self.length), _Gate(width, self.gate_hidden)), body, head)


def _start_at_zero(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer

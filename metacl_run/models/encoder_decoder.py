"""An encoder of examples into a Gaussian of a latent vector z, and a decoder of inputs and z, of another model's layers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from metacl_run.core.types import Params
from metacl_run.models.network import HEAD, Model
from metacl_run.models.split_network import without_head


@dataclass(frozen=True, kw_only=True)
class EncoderDecoderModel(Model):
    """Builds encoder and decoder of the layers of another model, which takes vectors.

    Attributes:
        inner: that model.
        latent: D, numbers of z.
    """

    inner: Model
    latent: int

    def build(self, input_shape: tuple[int, ...], num_outputs: int | None) -> nn.Module:
        assert num_outputs is not None, "a decoder has outputs"
        size = math.prod(input_shape)
        encoder = self.inner.build((size + num_outputs,), 2 * self.latent)
        return EncoderDecoder(encoder, self.inner.build((size + self.latent,), num_outputs), self.latent)

    def start(self, params: Params, seed: int) -> Params:
        return self.inner.start(params, seed)


class EncoderDecoder(nn.Module):
    """Inputs [N, ...] -> what the decoder predicts [N, outputs] where z is 0."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, latent: int) -> None:
        super().__init__()
        head = decoder._modules[HEAD]
        assert head is not None
        self.latent, self.encoder, self.body, self.head = latent, encoder, without_head(decoder), head

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.decoding()((x, x.new_zeros(len(x), self.latent)))
        return outputs

    def encoding(self) -> nn.Module:
        """Inputs and targets ([N, ...], [N, dimensions]) -> means and logarithms of precisions, [N, D] each."""
        return _Encoding(self.encoder)

    def decoding(self) -> nn.Module:
        """Inputs and latent vectors ([N, ...], [N, D]) -> outputs [N, outputs]."""
        return _Decoding(self.body, self.head)


class _Encoding(nn.Module):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, examples: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        x, y = examples
        mean, log_precision = self.encoder(torch.cat([x.flatten(1), y], 1)).chunk(2, -1)
        return mean, log_precision


class _Decoding(nn.Module):
    def __init__(self, body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.body, self.head = body, head

    def forward(self, inputs: tuple[Tensor, Tensor]) -> Tensor:
        x, z = inputs
        outputs: Tensor = self.head(self.body(torch.cat([x.flatten(1), z], 1)))
        return outputs

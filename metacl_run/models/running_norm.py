"""Batch norm with running averages: normalises by the batch in training, by averages over the training batches at evaluation.

Ioffe and Szegedy 2015 (arXiv 1502.03167), as in torch.nn.BatchNorm2d. The averages are parameters without a gradient, with
their own names, so that they are part of a learner's state: they are saved, a resumed run continues with them, and the learner
predicts with them. Only `moved_averages` changes them; the protocol calls it with what a learner observes.
"""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from metacl_run.core.errors import ConfigError
from metacl_run.core.types import Params
from metacl_run.kernels.norm_relu_pool import EPS, REDUCED, batch_norm
from metacl_run.models.layers import Affine

Mode = Literal["training", "tracking", "evaluation"]
"""By the batch; by the batch, which also moves the averages; by the averages."""
MOMENTUM = 0.1
"""The share of a batch in the averages, as torch.nn.BatchNorm2d has it."""


class RunningBatchNorm(Affine):
    """Batch norm over every axis but the second; input [N, C, ...].

    In training (`module.train()`, as a module is made) it normalises by the batch, and moves its averages unless `tracks` is
    false; at evaluation (`module.eval()`) by the averages, whatever else is in the batch.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features)
        self.running_mean = nn.Parameter(torch.zeros(num_features), requires_grad=False)
        self.running_var = nn.Parameter(torch.ones(num_features), requires_grad=False)
        self.tracks = True

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype in REDUCED:  # statistics need more digits than these have
            return self._normalised(x.float()).to(x.dtype)
        return self._normalised(x)

    def _normalised(self, x: Tensor) -> Tensor:
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        if self.training:
            if self.tracks:
                self._track(x)
            return batch_norm(x, weight, bias)
        mean, var = self.running_mean.detach().to(x.dtype), self.running_var.detach().to(x.dtype)
        scale = weight * (var + EPS).rsqrt()
        shape = [1, -1] + [1] * (x.ndim - 2)
        return x * scale.view(shape) + (bias - mean * scale).view(shape)

    def _track(self, x: Tensor) -> None:
        axes = [axis for axis in range(x.ndim) if axis != 1]
        if x.numel() == x.shape[1]:
            raise ConfigError(
                "model: running averages need at least two values of every channel, but a batch of one image is left with one "
                "position. Use algo.batch_size=2 or more, or a larger data.image_size."
            )
        with torch.no_grad():
            var, mean = torch.var_mean(x, axes, correction=1)
            for average, of_batch in ((self.running_mean, mean), (self.running_var, var)):
                average.mul_(1 - MOMENTUM).add_(of_batch.to(average.dtype), alpha=MOMENTUM)


def has_running_averages(module: nn.Module) -> bool:
    """Whether a module normalises by running averages at evaluation."""
    return any(isinstance(part, RunningBatchNorm) for part in module.modules())


def averages_of(module: nn.Module) -> list[str]:
    """Names of the running averages among the parameters of a module."""
    layers = [name for name, part in module.named_modules() if isinstance(part, RunningBatchNorm)]
    return [f"{layer}.{average}".lstrip(".") for layer in layers for average in ("running_mean", "running_var")]


def in_mode(module: nn.Module, mode: Mode) -> nn.Module:
    """A copy that normalises as `mode` says; the module itself if it has no running averages."""
    if not has_running_averages(module):
        return module
    module = copy.deepcopy(module).train(mode != "evaluation")
    for part in module.modules():
        if isinstance(part, RunningBatchNorm):
            part.tracks = mode != "training"
    return module


def moved_averages(module: nn.Module, params: Params, x: Tensor) -> Params:
    """The running averages, by name, after a batch x [N, ...] has passed a `tracking` module with these parameters."""
    averages = {name: params[name].clone() for name in averages_of(module)}
    with torch.no_grad():
        functional_call(module, {**params, **averages}, (x,))  # changes them in place
    return averages

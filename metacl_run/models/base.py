"""Models: settings that build an ordinary `nn.Module`, and the network a learner sees: that module as a pure function.

A model needs no meta-learning twin: `torch.func.functional_call` runs any module on given parameters. Two conventions: the
last layer is the attribute `head` (what ANIL adapts and prototypical networks leave out), and normalisation keeps no running
averages, since a learner's state is explicit.
"""

from __future__ import annotations

import abc

import torch
from torch import Tensor, nn
from torch.func import functional_call

from metacl_run.errors import ConfigError
from metacl_run.models.layers import Perceptron
from metacl_run.objectives import CLASSIFICATION, Objective
from metacl_run.types import Params

HEAD = "head"


class Model(abc.ABC):
    """A model component: a frozen dataclass of settings."""

    @abc.abstractmethod
    def build(self, input_shape: tuple[int, ...], num_outputs: int | None) -> nn.Module:
        """The module for inputs of `input_shape`; its `head` gives `num_outputs`, or is `nn.Identity` for None.

        Raises:
            SettingError: the settings do not fit the input.
        """


class Network:
    """A module as a pure function of its parameters: network(params, x) -> outputs, network(params, x, task) where tasks are
    known.

    Args:
        module: any, without buffers.
        ways: its number of outputs.
        compute_dtype: what inputs and parameters are cast to inside; outputs come back in the parameters' own dtype.
        masks: [T, ways] bool, the outputs of each task; the others are set to `MASKED` where `task` is given.
        objective: what its outputs are judged by.
    """

    MASKED = -1e9

    def __init__(
        self,
        module: nn.Module,
        ways: int,
        compute_dtype: torch.dtype | None = None,
        masks: Tensor | None = None,
        objective: Objective = CLASSIFICATION,
    ) -> None:
        if next(module.buffers(), None) is not None:
            name = next(iter(dict(module.named_buffers())))
            raise ConfigError(
                f"model: {type(module).__name__} has the buffer '{name}'. A learner's state must be explicit: use layers "
                "without running averages (BatchNorm2d(track_running_stats=False) or metacl_run.models.layers.BatchNorm)."
            )
        self.ways, self.module, self.masks, self.objective = ways, module, masks, objective
        self._dtype = compute_dtype
        exact = compute_dtype in (None, next(module.parameters()).dtype)
        self.plain_layers = module.plain_layers() if isinstance(module, Perceptron) and exact else None
        """Parameter names, layer by layer, of a plain perceptron: what `kernels/perceptron.py` can take; None for any other."""

    def __call__(self, params: Params, x: Tensor, task: Tensor | None = None) -> Tensor:
        outputs = self._outputs(params, x)
        if task is None or self.masks is None:
            return outputs
        return outputs.masked_fill(~self.masks[task], self.MASKED)

    def _outputs(self, params: Params, x: Tensor) -> Tensor:
        own = next(iter(params.values())).dtype
        if self._dtype in (None, own):
            return functional_call(self.module, params, (x,))
        cast = {name: value.to(self._dtype) for name, value in params.items()}
        return functional_call(self.module, cast, (x.to(self._dtype),)).to(own)

    @staticmethod
    def head_names(params: Params) -> list[str]:
        """Names of the last layer's parameters."""
        names = [name for name in params if name.split(".")[0] == HEAD]
        if not names:
            groups = ", ".join(sorted({name.split(".")[0] for name in params}))
            raise ConfigError(f"model: no parameter belongs to '{HEAD}', which algo.plastic=head adapts. Groups: {groups}.")
        return names


def image_shape(model: Model, input_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(channels, height, width) of inputs that must be images. Raises ConfigError."""
    if len(input_shape) != 3:
        raise ConfigError(
            f"model: {type(model).__name__} takes images, but the data's inputs have the shape {list(input_shape)}. Use "
            "model=mlp_sine or another perceptron."
        )
    channels, height, width = input_shape
    return channels, height, width


def initial_params(
    model: Model, input_shape: tuple[int, ...], num_outputs: int | None, seed: int, dtype: torch.dtype
) -> tuple[nn.Module, Params]:
    """The module, and fresh parameters drawn as its layers draw them, from `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = model.build(input_shape, num_outputs)
    return module, {name: value.detach().clone().to(dtype) for name, value in module.named_parameters()}

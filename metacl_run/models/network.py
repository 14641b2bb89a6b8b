"""Models (settings that build an ordinary `nn.Module`), and the network of a learner (this module as a pure function).

A model needs no special version for meta-learning: `torch.func.functional_call` runs any module with any parameters. Two
conventions: the last layer is the attribute `head` (ANIL adapts it alone, prototypical networks leave it out), and there are no
buffers, since a learner's state is explicit: running averages of a norm are parameters without a gradient (`running_norm.py`).
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from metacl_run.core.errors import ConfigError
from metacl_run.core.token_shape import TokenShape
from metacl_run.core.types import Params, Samples
from metacl_run.models.layers import Perceptron
from metacl_run.models.pure_module import PureModule
from metacl_run.models.running_norm import Mode, has_running_averages, in_mode, moved_averages
from metacl_run.scoring.objectives import CLASSIFICATION, Objective

Rollout = Callable[[Callable[[Tensor], Tensor], Tensor], Tensor]
HEAD = "head"
MOST_PARAMETERS = 10**9


class Model(abc.ABC):
    """A model component: a frozen dataclass of settings."""

    takes_tokens: ClassVar[bool] = False
    """Whether its inputs are token numbers, as `data.encoder=trained` makes them of texts."""

    @abc.abstractmethod
    def build(self, input_shape: tuple[int, ...], num_outputs: int | None) -> nn.Module:
        """Builds the module for inputs of `input_shape`; its `head` gives `num_outputs`, or is `nn.Identity` for None.

        Raises:
            SettingError: the settings do not fit the input.
        """

    def start(self, params: Params, seed: int) -> Params:
        """Returns the parameters that a learner of this seed starts from, of freshly drawn ones. Default: these."""
        return params


class Network:
    """A module as a pure function of its parameters: network(params, x) -> outputs, network(params, x, task) where tasks are
    known.

    Args:
        module: any module without buffers.
        ways: its number of outputs.
        compute_dtype: inputs and parameters but for the head's are cast to it inside (`PureModule`); outputs, and so the loss,
            are in the parameters' own dtype.
        masks: [T, ways] bool, the outputs of each task; the others are set to `MASKED` in a call with `task`.
        objective: the loss to learn by and the score to report.
        rollout: where the module is a policy: (policy, x) -> outputs, what comes of acting as inputs [N, ...] describe it, with
            policy(observations) the module's outputs. None: outputs are the module's own.
    """

    MASKED = -1e9

    def __init__(
        self,
        module: nn.Module,
        ways: int,
        compute_dtype: torch.dtype | None = None,
        masks: Tensor | None = None,
        objective: Objective = CLASSIFICATION,
        rollout: Rollout | None = None,
    ) -> None:
        if next(module.buffers(), None) is not None:
            name = next(iter(dict(module.named_buffers())))
            raise ConfigError(
                f"model: {type(module).__name__} has the buffer '{name}'. A learner's state must be explicit: use layers "
                "without buffers (metacl_run.models.layers.BatchNorm, or RunningBatchNorm of metacl_run.models.running_norm)."
            )
        if random := next((name for name, part in module.named_modules() if isinstance(part, _DropoutNd) and part.p > 0), None):
            raise ConfigError(
                f"model: {type(module).__name__} has dropout ('{random}'). Its random numbers would not follow from the seed, "
                "and it would go on at evaluation, since a module is a pure function here. Leave it out, or set its p to 0."
            )
        self.ways, self.module, self.masks, self.objective = ways, module, masks, objective
        self.rollout = rollout
        self.compute_dtype, self._outputs = compute_dtype, PureModule(module, compute_dtype, HEAD)
        exact = rollout is None and compute_dtype in (None, next(module.parameters()).dtype)
        self.plain_layers = module.plain_layers() if isinstance(module, Perceptron) and exact else None
        """Parameter names, layer by layer, of a perceptron that `kernels/perceptron.py` can compute; None for any other."""

    def __call__(self, params: Params, x: Tensor, task: Tensor | None = None) -> Tensor:
        outputs: Tensor
        if self.rollout is None:
            outputs = self._outputs(params, x)
        else:
            outputs = self.rollout(lambda observations: self._outputs(params, observations), x)
        if task is None or self.masks is None:
            return outputs
        return outputs.masked_fill(~self.masks[task], self.MASKED)

    def part(self, module: nn.Module) -> PureModule:
        """A part of the module as a pure function; its parameters have the names that they have in the whole."""
        return PureModule(module, self.compute_dtype, HEAD)

    def loss(self, params: Params, x: Tensor, y: Tensor, task: Tensor | None = None) -> Tensor:
        """The mean loss of a batch, a scalar; `network.loss(params, *samples)` for `Samples`."""
        return self.objective.loss(self(params, x, task), y)

    def weighted_loss(self, params: Params, samples: Samples, weight: Tensor) -> Tensor:
        """The weighted mean loss of a batch; 0 where all weights are. `network.weighted_loss(params, *weighted_samples)`."""
        losses = self.objective.losses(self(params, samples.x, samples.task), samples.y)
        return (losses * weight).sum() / weight.sum().clamp(min=1)

    @property
    def has_running_averages(self) -> bool:
        """Whether it normalises by running averages at evaluation."""
        return has_running_averages(self.module)

    def in_mode(self, mode: Mode) -> Network:
        """The network that normalises as `mode` says; itself where it has no running averages."""
        if not self.has_running_averages:
            return self
        module = in_mode(self.module, mode)
        return Network(module, self.ways, self.compute_dtype, self.masks, self.objective, self.rollout)

    @cached_property
    def at_evaluation(self) -> Network:
        """The network that normalises by its running averages, as an earlier network that is learned from does."""
        return self.in_mode("evaluation")

    def moved_averages(self, params: Params, x: Tensor) -> Params:
        """The running averages, by name, after inputs x [N, ...] were a batch; of a network that is `tracking`."""
        return moved_averages(self.module, params, x)

    def refuse_running_averages(self, learner: object, why: str) -> None:
        """Raises ConfigError where there are running averages, which a learner cannot do with."""
        if self.has_running_averages:
            raise ConfigError(
                f"algo: {type(learner).__name__} {why}, so that it does not go with the running averages of "
                f"{type(self.module).__name__}. Use model.norm=image, which normalises every image by itself, or a model "
                "without a norm, such as model=conv_plain."
            )

    def refuse_real_targets(self, learner: object, instead: str) -> None:
        """Raises ConfigError where targets are numbers, not classes; `instead` names algorithms that learn them."""
        if self.objective is not CLASSIFICATION:
            name = type(learner).__name__
            raise ConfigError(f"algo: {name} learns classes, but the data have real targets. Use {instead}.")

    @staticmethod
    def head_names(params: Params) -> list[str]:
        """Returns the names of the last layer's parameters. Raises ConfigError where there are none."""
        names = [name for name in params if name.split(".")[0] == HEAD]
        if not names:
            groups = ", ".join(sorted({name.split(".")[0] for name in params}))
            raise ConfigError(f"model: no parameter belongs to '{HEAD}', which algo.plastic=head adapts. Groups: {groups}.")
        return names


def image_shape(model: Model, input_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Returns (channels, height, width) of inputs that must be images. Raises ConfigError."""
    if len(input_shape) != 3:
        raise ConfigError(
            f"model: {type(model).__name__} takes images, but the data's inputs have the shape {list(input_shape)}. Use "
            "model=mlp_small for vectors, model=text_head or model=linear for features of a frozen encoder (model=text_gated "
            "where a method needs gates), model=mlp_sine for a regression."
        )
    channels, height, width = input_shape
    return channels, height, width


def token_shape(model: Model, input_shape: tuple[int, ...]) -> TokenShape:
    """Returns the shape of inputs that must be token numbers. Raises ConfigError."""
    if not isinstance(input_shape, TokenShape):
        raise ConfigError(
            f"model: {type(model).__name__} takes the words of texts as token numbers, but the data's inputs are other "
            f"numbers, of the shape {list(input_shape)}. For texts use data.encoder=trained; model=mlp_small is for vectors."
        )
    return input_shape


def initial_params(
    model: Model, input_shape: tuple[int, ...], num_outputs: int | None, seed: int, dtype: torch.dtype
) -> tuple[nn.Module, Params]:
    """Builds the module, and the parameters that a learner of this seed starts from: fresh ones, unless the model starts from
    others.

    Raises:
        ConfigError: the model does not take such inputs, or is too large, or starts from those of another network.
    """
    module, params = fresh_params(model, input_shape, num_outputs, seed, dtype)
    return module, model.start(params, seed)


def fresh_params(
    model: Model, input_shape: tuple[int, ...], num_outputs: int | None, seed: int, dtype: torch.dtype
) -> tuple[nn.Module, Params]:
    """Builds the module, and draws fresh parameters as its layers draw them, from `seed` alone.

    Raises:
        ConfigError: the model does not take such inputs, or is too large.
    """
    if isinstance(input_shape, TokenShape) and not model.takes_tokens:
        raise ConfigError(
            f"model: {type(model).__name__} takes real numbers, but data.encoder=trained makes token numbers. Use "
            "model=text_bag, model=text_transformer, or another encoder such as data.encoder=hashed."
        )
    with torch.random.fork_rng(devices=[]):
        _refuse_large(model, input_shape, num_outputs)
        torch.manual_seed(seed)
        module = model.build(input_shape, num_outputs)
    return module, {name: value.detach().clone().to(dtype) for name, value in module.named_parameters()}


def _refuse_large(model: Model, input_shape: tuple[int, ...], num_outputs: int | None) -> None:
    """Counts the parameters without making any. Raises ConfigError for too many."""
    try:
        with torch.device("meta"):
            parameters = sum(weight.numel() for weight in model.build(input_shape, num_outputs).parameters())
    except (NotImplementedError, RuntimeError):  # a module that reads its weights while it is built
        return
    if parameters > MOST_PARAMETERS:
        raise ConfigError(f"model: {type(model).__name__} would have {parameters:.1e} parameters; at most 1e9 are learned")

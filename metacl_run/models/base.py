"""Models: settings that build an ordinary `nn.Module`, and the network a learner sees: that module as a pure function.

A model needs no meta-learning twin: `torch.func.functional_call` runs any module on given parameters. Two conventions: the
last layer is the attribute `head` (what ANIL adapts and prototypical networks leave out), and normalisation keeps no running
averages, since a learner's state is explicit.
"""

from __future__ import annotations

import abc
import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_map

from metacl_run.core.errors import ConfigError
from metacl_run.core.types import Params, Pytree
from metacl_run.models.layers import Perceptron
from metacl_run.scoring.objectives import CLASSIFICATION, Objective

HEAD = "head"
MOST_PARAMETERS = 10**9


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
        self.compute_dtype = compute_dtype
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
        if self.compute_dtype in (None, own):
            return functional_call(self.module, params, (x,))
        cast = {name: value.to(self.compute_dtype) for name, value in params.items()}
        return functional_call(self.module, cast, (x.to(self.compute_dtype),)).to(own)

    @staticmethod
    def head_names(params: Params) -> list[str]:
        """Names of the last layer's parameters."""
        names = [name for name in params if name.split(".")[0] == HEAD]
        if not names:
            groups = ", ".join(sorted({name.split(".")[0] for name in params}))
            raise ConfigError(f"model: no parameter belongs to '{HEAD}', which algo.plastic=head adapts. Groups: {groups}.")
        return names


class Cut:
    """A network in two parts, of which the first has no plastic parameter: what it gives need be computed only once.

    A module may say itself where it can be cut, by a method `cut(plastic groups)` that returns two modules whose parameters
    have the names they have in the whole, or None. Any other is cut before its head where only that is plastic, else nowhere.

    Args:
        network: whose last layer is the attribute `head`.
        params: its parameters.
        plastic: the groups, attributes of the module, that adapt.

    Attributes:
        names: the plastic parameters.
        last: weight and offset of the last linear layer; the first is [outputs, width].
        linear: whether the head is that layer alone, and plastic.
    """

    def __init__(self, network: Network, params: Params, plastic: Sequence[str]) -> None:
        module, groups = network.module, list(dict.fromkeys(name.split(".")[0] for name in params))
        unknown = [group for group in plastic if group not in groups]
        if unknown or not plastic:
            given = f"[{','.join(plastic)}]"
            raise ConfigError(
                f"algo.plastic={given}: {type(module).__name__} has no such group of parameters. Groups: {', '.join(groups)}"
                if unknown
                else f"algo.plastic={given}: names no parameter. Groups: {', '.join(groups)}"
            )
        self.network, self.objective = network, network.objective
        self.names = [name for name in params if name.split(".")[0] in plastic]
        self.last = self._last_layer(network, params)
        before, after = self._parts(module, set(plastic))
        self.linear = HEAD in plastic and isinstance(module._modules[HEAD], nn.Linear)
        features = None if not self.linear or isinstance(after, _Head) else _without_head(after)
        self._before, self._after, self._features = (part and _Part(network, part) for part in (before, after, features))

    @staticmethod
    def _last_layer(network: Network, params: Params) -> tuple[str, str]:
        layers = [name.rpartition(".")[0] for name in network.head_names(params) if params[name].dim() == 2]
        names = (f"{layers[-1]}.weight", f"{layers[-1]}.bias") if layers else ("", "")
        if any(name not in params for name in names) or len(params[names[0]]) != network.ways:
            raise ConfigError(
                f"model: the last layer of {type(network.module).__name__}, in `head`, must be linear, with offsets"
            )
        return names

    @staticmethod
    def _parts(module: nn.Module, plastic: set[str]) -> tuple[nn.Module | None, nn.Module]:
        if own := getattr(module, "cut", lambda _: None)(plastic):
            return own
        if plastic != {HEAD}:
            return None, module
        head = module._modules[HEAD]
        assert head is not None
        return _without_head(module), _Head(head)

    def before(self, params: Params, x: Tensor) -> Pytree:
        """What the second part is given for inputs [N, ...]: tensors [N, ...]; the inputs where nothing is frozen."""
        return x if self._before is None else self._before(params, x)

    def after(self, params: Params, given: Pytree) -> Tensor:
        """Outputs [N, outputs]."""
        assert self._after is not None
        return self._after(params, given)

    def features(self, params: Params, given: Pytree) -> Tensor:
        """What the last layer is given, [N, width]; where `linear`."""
        return given if self._features is None else self._features(params, given)

    def plastic(self, params: Params) -> Params:
        """The plastic ones of `params`."""
        return {name: params[name] for name in self.names}


def _without_head(module: nn.Module) -> nn.Module:
    body = copy.copy(module)
    body._modules = {**module._modules, HEAD: nn.Identity()}
    return body


class _Head(nn.Module):
    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: Tensor) -> Tensor:
        return self.head(features)


class _Part:
    """Some of a network's modules as a pure function of all its parameters, with its precision."""

    def __init__(self, network: Network, module: nn.Module) -> None:
        self._module, self._names = module, [name for name, _ in module.named_parameters()]
        self._dtype = network.compute_dtype

    def __call__(self, params: Params, x: Pytree) -> Pytree:
        own = {name: params[name] for name in self._names}
        exact = next(iter(params.values())).dtype
        if self._dtype in (None, exact):
            return functional_call(self._module, own, (x,))
        reduced, given = tree_map(lambda leaf: leaf.to(self._dtype), (own, x))
        return tree_map(lambda leaf: leaf.to(exact), functional_call(self._module, reduced, (given,)))


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
        _refuse_large(model, input_shape, num_outputs)
        torch.manual_seed(seed)
        module = model.build(input_shape, num_outputs)
    return module, {name: value.detach().clone().to(dtype) for name, value in module.named_parameters()}


def _refuse_large(model: Model, input_shape: tuple[int, ...], num_outputs: int | None) -> None:
    """Counts the parameters without making any. Raises ConfigError."""
    try:
        with torch.device("meta"):
            parameters = sum(weight.numel() for weight in model.build(input_shape, num_outputs).parameters())
    except (NotImplementedError, RuntimeError):  # a module that looks at its weights while it is made: it has to be made
        return
    if parameters > MOST_PARAMETERS:
        raise ConfigError(f"model: {type(model).__name__} would have {parameters:.1e} parameters; at most 1e9 are learned")

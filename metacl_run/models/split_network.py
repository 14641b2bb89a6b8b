"""A network split into a frozen part and a plastic rest, so that the frozen part is computed only once.

    frozen = split.frozen(params, x)          once for every example
    outputs = split.rest(params, frozen)      at every step of the plastic part

A module is split before its `head` where the head alone is plastic. Otherwise nothing is frozen, and the rest is the whole
network. A module that can be split elsewhere implements `Splittable`.
"""

from __future__ import annotations

import abc
import copy
from collections.abc import Sequence

from torch import Tensor, nn

from metacl_run.core.errors import ConfigError
from metacl_run.core.types import Params, Pytree
from metacl_run.models.network import HEAD, Network


class Splittable(abc.ABC):
    """A module that knows a place of its own where it can be split."""

    @abc.abstractmethod
    def split(self, plastic: set[str]) -> tuple[nn.Module, nn.Module] | None:
        """Returns the frozen part and the rest, whose parameters keep the names they have in the whole; None for other groups.

        Args:
            plastic: groups of parameters, attributes of the module, that adapt.
        """


class SplitNetwork:
    """A network split into a frozen part and a plastic rest.

    Args:
        network: its last layer is the attribute `head`.
        params: its parameters.
        plastic: the groups, attributes of the module, that adapt.
        setting: the algorithm's setting that names them, for messages.

    Attributes:
        plastic_names: names of the plastic parameters.
        last: names of weight [outputs, width] and offset of the last linear layer.
        linear: whether the head is that layer alone, and plastic.

    Raises:
        ConfigError: there is no such group, or the last layer is not linear.
    """

    def __init__(self, network: Network, params: Params, plastic: Sequence[str], setting: str = "plastic") -> None:
        module, groups = network.module, list(dict.fromkeys(name.split(".")[0] for name in params))
        unknown = [group for group in plastic if group not in groups]
        if unknown or not plastic:
            problem = f"{type(module).__name__} has no such group of parameters" if unknown else "names no parameter"
            raise ConfigError(f"algo.{setting}=[{','.join(plastic)}]: {problem}. Groups: {', '.join(groups)}")
        self.network, self.objective = network, network.objective
        self.plastic_names = [name for name in params if name.split(".")[0] in plastic]
        self.last = _last_layer(network, params)
        frozen, rest = _parts(module, set(plastic))
        self.linear = HEAD in plastic and isinstance(module._modules[HEAD], nn.Linear)
        body = without_head(rest) if self.linear and not isinstance(rest, _Head) else None
        self._rest = network.part(rest)
        self._frozen, self._body = (None if part is None else network.part(part) for part in (frozen, body))

    def frozen(self, params: Params, x: Tensor) -> Pytree:
        """Computes the frozen part of inputs [N, ...]: tensors [N, ...]; the inputs where nothing is frozen."""
        return x if self._frozen is None else self._frozen(params, x)

    def rest(self, params: Params, frozen: Pytree) -> Tensor:
        """Computes the outputs [N, outputs] from the frozen part."""
        outputs: Tensor = self._rest(params, frozen)
        return outputs

    def loss(self, params: Params, frozen: Pytree, y: Tensor) -> Tensor:
        """The mean loss of a batch, a scalar."""
        return self.objective.loss(self.rest(params, frozen), y)

    def last_features(self, params: Params, frozen: Pytree) -> Tensor:
        """Computes the inputs of the last layer, [N, width]; only where `linear`."""
        features: Tensor = frozen if self._body is None else self._body(params, frozen)
        return features

    def plastic(self, params: Params) -> Params:
        """Returns the plastic ones of `params`."""
        return {name: params[name] for name in self.plastic_names}


def representation(network: Network, params: Params, x: Tensor) -> Tensor:
    """Computes what goes into the head, for inputs [N, ...]; a network without a head is a representation itself."""
    has_head = any(name.split(".")[0] == HEAD for name in params)
    features: Tensor = SplitNetwork(network, params, [HEAD]).frozen(params, x) if has_head else network(params, x)
    return features


def _last_layer(network: Network, params: Params) -> tuple[str, str]:
    layers = [name.rpartition(".")[0] for name in network.head_names(params) if params[name].dim() == 2]
    names = (f"{layers[-1]}.weight", f"{layers[-1]}.bias") if layers else ("", "")
    if any(name not in params for name in names) or len(params[names[0]]) != network.ways:
        raise ConfigError(f"model: the last layer of {type(network.module).__name__}, in `head`, must be linear, with offsets")
    return names


def _parts(module: nn.Module, plastic: set[str]) -> tuple[nn.Module | None, nn.Module]:
    """The frozen part, if any, and the rest."""
    parts = module.split(plastic) if isinstance(module, Splittable) else None
    if parts is not None:
        return parts
    if plastic != {HEAD}:
        return None, module
    head = module._modules[HEAD]
    assert head is not None
    return without_head(module), _Head(head)


def without_head(module: nn.Module) -> nn.Module:
    """The module with the identity in place of its head; it shares the other layers."""
    body = copy.copy(module)
    body._modules = {**module._modules, HEAD: nn.Identity()}
    return body


class _Head(nn.Module):
    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: Tensor) -> Tensor:
        outputs: Tensor = self.head(features)
        return outputs

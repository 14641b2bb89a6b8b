"""A module as a pure function of its parameters, in a precision."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_map

from metacl_run.core.types import Params, Pytree, cast_floats
from metacl_run.models.running_norm import averages_of


class PureModule:
    """A module as a pure function: pure(params, x) -> outputs, in the parameters' own dtype.

    In a reduced precision the head keeps the parameters' dtype, and so does a loss of the outputs: of all layers the head costs
    least, and its rounding errors would be the loss's. (`torch.autocast` keeps the loss alone, and decides by operation.) So do
    running averages, beside which layers that normalise compute in float32.

    Args:
        module: every call has all its parameters, and perhaps others.
        dtype: parameters, inputs and so the arithmetic are cast to it inside; None: nothing is.
        head: the attribute of the module, if there is one of this name, that is not cast.
    """

    def __init__(self, module: nn.Module, dtype: torch.dtype | None, head: str) -> None:
        self._module, self._dtype = module, dtype
        self._names = [name for name, _ in module.named_parameters()]
        self._reduced, self._exact_names = _with_exact_layer(module, head)
        within = {name: self._exact_names.get(name, name) for name in averages_of(module)}  # a batch's are in float32 as well
        self._exact_names = self._exact_names | within

    def __call__(self, params: Params, x: Pytree) -> Any:
        own = {name: params[name] for name in self._names}
        exact = next(iter(params.values())).dtype
        if self._dtype is None or self._dtype == exact:
            return functional_call(self._module, own, (x,))
        cast = {name: value.to(self._dtype) for name, value in own.items() if name not in self._exact_names}
        uncast = {new: own[name] for name, new in self._exact_names.items()}
        return _cast(functional_call(self._reduced, cast | uncast, (_cast(x, self._dtype),)), exact)


class _Exact(nn.Module):
    """A layer that casts its inputs to the dtype of its parameters."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *inputs: Any) -> Tensor:
        outputs: Tensor = self.layer(*_cast(inputs, next(self.layer.parameters()).dtype))
        return outputs


def _with_exact_layer(module: nn.Module, name: str) -> tuple[nn.Module, dict[str, str]]:
    """Returns the module with a layer wrapped, and for the parameters of that layer their names in it; as is without any."""
    layer = module._modules.get(name)
    names = [] if layer is None else [parameter for parameter, _ in layer.named_parameters()]
    if layer is None or not names:
        return module, {}
    wrapped = copy.copy(module)
    wrapped._modules = {**module._modules, name: _Exact(layer)}
    return wrapped, {f"{name}.{parameter}": f"{name}.layer.{parameter}" for parameter in names}


def _cast(tree: Pytree, dtype: torch.dtype) -> Pytree:
    return tree_map(lambda leaf: cast_floats(leaf, dtype), tree)

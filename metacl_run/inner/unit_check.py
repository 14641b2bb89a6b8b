"""The check of the first unit of a run: does the method's code, and that of its model, do what a run needs of it?

A run computes all seeds at once (`torch.vmap`), hands the state from unit to unit, and saves it. One seed alone is not mapped:
with it, code that breaks the rules seems to work, be it that it draws random numbers that nobody can repeat, or branches on a
value. So where code is the user's own, the first unit is computed once for one replicate, as it would be for several, before it
counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import keystr, tree_flatten_with_path, tree_map

from metacl_run.core.errors import ConfigError
from metacl_run.core.types import Pytree


def check_unit(unit: Callable[..., Pytree], state: Pytree, *inputs: Pytree, name: str) -> None:
    """Computes a unit of the first replicate under `torch.vmap`, and keeps nothing of it.

    Args:
        unit: of one replicate: (state, *inputs) -> (state, metrics).
        state, inputs: of all replicates, leaves [R, ...].
        name: of the method, for messages.

    Raises:
        ConfigError: the unit returns no (state, metrics), a state of another form, or metrics that are no single numbers; or it
            changes what it is given.
        Exception: what the unit raises.
    """

    def checked(state: Pytree, *inputs: Pytree) -> Pytree:
        form = _leaves(state)
        result = unit(state, *inputs)
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
            raise ConfigError(f"algo: {name} returns {_kind(result)} for a unit; it must return (state, metrics)")
        _check_state(name, form, _leaves(result[0]))
        _check_metrics(name, result[1])
        return result

    originals = tree_map(lambda leaf: leaf[:1], (state, *inputs))
    copies = tree_map(torch.clone, originals)
    torch.vmap(checked)(*copies)
    after = _leaves(copies)
    for path, leaf in _leaves(originals).items():
        if not _is_same(leaf, after[path]):
            raise ConfigError(
                f"algo: {name} changes {_named(path)} in place, which the run still needs. Compute a new tensor (x + y, not "
                "x.add_(y))"
            )


def _check_state(name: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    """Raises ConfigError unless both states have tensors of the same places, shapes and types."""
    for path in [*before, *after]:
        old, new = (_kind(leaves[path]) if path in leaves else "missing" for leaves in (before, after))
        if old != new:
            raise ConfigError(
                f"algo: the state of {name} changes its form: state{path} is {old} before a unit and {new} after it. It must "
                "have the same tensors all the time"
            )


def _check_metrics(name: str, metrics: dict[str, Any]) -> None:
    for metric, value in metrics.items():
        if not (isinstance(value, Tensor) and value.ndim == 0):
            raise ConfigError(
                f"algo: the metric {metric} of {name} is {_kind(value)}; it must be a tensor of one number, without dimensions"
            )


def _leaves(tree: Pytree) -> dict[str, Any]:
    return {keystr(path): leaf for path, leaf in tree_flatten_with_path(tree)[0]}


def _is_same(a: Tensor, b: Tensor) -> bool:
    """Whether both have the same numbers, NaN among them."""
    return bool(((a == b) | ((a != a) & (b != b))).all())


def _kind(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    return "None" if value is None else f"a {type(value).__name__}"


def _named(path: str) -> str:
    """A path below (state, *inputs) in words."""
    return f"state{path.removeprefix('[0]')}" if path.startswith("[0]") else f"the unit's data{path[path.index(']') + 1 :]}"

"""The check of a user's own code before the first unit of a run: does it do what a run needs of it?

A run computes all seeds at once (`torch.vmap`), hands the state from unit to unit, and saves it. One seed alone is not mapped:
with it, code that breaks the rules seems to work, be it that it draws random numbers that nobody can repeat, or branches on a
value. So every part of a method is computed for one replicate, as it would be for several, and nothing of it is kept. It is
computed twice, since an interrupted run computes some units again.

Shapes: R replicates; the leaves of a state and of what comes with it are [R, ...].
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import keystr, tree_flatten_with_path, tree_map

from metacl_run.algorithms.meta_learner import MetaState, Update
from metacl_run.core.errors import ConfigError
from metacl_run.core.types import Episode, Metrics, Params, Pytree
from metacl_run.models.network import Network

MOST_LOSS = 1e5
"""A loss above it, where some outputs are masked, takes in masked ones."""


def check_unit(unit: Callable[..., Pytree], state: Pytree, *inputs: Pytree, name: str, part: str = "a unit") -> Pytree:
    """Checks a unit of work, (state, *inputs) -> (state, metrics) of one replicate. Returns what it returns, leaves [1, ...].

    Args:
        name: of the method, for messages.
        part: of the method, that does the work, for messages.

    Raises:
        ConfigError: it draws random numbers, changes what it is given, gives other numbers the second time, or returns another
            form of state, or metrics that are no single numbers.
        Exception: what the unit raises.
    """

    def check(result: Pytree, state: Pytree, *inputs: Pytree) -> None:
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
            raise ConfigError(f"algo: {name} returns {_kind(result)} for a unit; it must return (state, metrics)")
        _check_form(f"the state of {name}", "state", state, result[0])
        _check_metrics(name, result[1])

    return _computed_twice(unit, check, state, *inputs, name=name, part=part)


def check_masked_loss(metrics: Metrics, *, name: str) -> None:
    """Checks the loss of a unit where the outputs of other tasks are masked.

    Raises:
        ConfigError: it is so large that it must contain masked outputs.
    """
    loss = metrics.get("loss")
    if loss is not None and bool((loss.abs() > MOST_LOSS).any()):
        raise ConfigError(
            f"algo: the loss of {name} is {loss.abs().max().item():.1e}, since it takes in masked outputs: those of classes "
            f"that a task does not have are {Network.MASKED:.0e}. Leave them out by network.masks[task], which is true for the "
            "outputs of the task, or take network.weighted_loss"
        )


def check_state(
    function: Callable[..., Pytree], state: Pytree, *inputs: Pytree, name: str, when: str, part: str = "end_task"
) -> None:
    """Checks what a method makes of its state at another time, (state, *inputs) -> state, in the same way.

    Args:
        when: that time, for messages: "at the end of a task".
        part: of the method, that does it, for messages.
    """

    def check(result: Pytree, state: Pytree, *inputs: Pytree) -> None:
        _check_form(f"{when}, the state of {name}", "state", state, result)

    _computed_twice(function, check, state, *inputs, name=name, part=part)


def check_params(params: Any, network_params: Params, *, what: str) -> None:
    """Raises ConfigError unless these are the network's parameters, by names and shapes; `what` they are, for the message."""
    _check_form(what, "", network_params, params, ("in the network", "there"))


def check_outputs(
    predict: Callable[..., Tensor], state: Pytree, x: Tensor, *inputs: Pytree, outputs: int | None, name: str
) -> None:
    """Checks predictions, (state, x [N, ...], *inputs) -> [N, outputs], in the same way; `outputs` None: any number of them."""

    def check(result: Pytree, state: Pytree, x: Tensor, *inputs: Pytree) -> None:
        fits = isinstance(result, Tensor) and result.ndim == 2 and len(result) == len(x)
        if not fits or outputs not in (None, result.shape[1]):
            expected = f"[{len(x)}, {'outputs' if outputs is None else outputs}]"
            raise ConfigError(f"algo: {name} predicts {_kind(result)} for {len(x)} inputs; it must predict {expected}")

    _computed_twice(predict, check, state, x, *inputs, name=name, part="predict")


def check_learns_support(predict: Callable[..., Tensor], state: Pytree, episodes: Episode, *, name: str) -> None:
    """Checks that predictions, (state, x, episode) -> outputs, stay the same if the episode has other queries, which come from
    its support set; leaves of `episodes` are [R, ...]. On a card equal numbers may differ in the last digits.

    Raises:
        ConfigError: what is learned depends on the queries or their labels.
    """
    if episodes.query_y.shape[1] == 0:
        episodes = episodes._replace(query_x=episodes.support_x, query_y=episodes.support_y)
    support, queries = episodes.support_y.shape[1], episodes.query_y.shape[1]
    place = support - 1 - torch.arange(queries, device=episodes.support_x.device) % support
    alike = episodes.support_x.shape[2:] == episodes.query_x.shape[2:]
    other_x = episodes.support_x[:, place] if alike else episodes.query_x.flip(1)
    others = episodes._replace(query_x=other_x, query_y=episodes.support_y[:, place])
    one, other = (
        torch.vmap(predict)(*tree_map(lambda leaf: leaf[:1].clone(), (state, episodes.query_x, own)))
        for own in (episodes, others)
    )
    is_same = _is_same(one, other) if one.device.type == "cpu" else torch.allclose(one, other, 1e-3, 1e-4, equal_nan=True)
    if not is_same:
        raise ConfigError(
            f"algo: learn of {name} learns from the queries of an evaluation episode, or their labels: with other queries it "
            "predicts something else. Use episode.support_x and episode.support_y alone; predict receives the queries"
        )


def check_update(update: Callable[..., Pytree], state: MetaState, episodes: Pytree, *, name: str) -> None:
    """Checks the contribution of an episode to a meta-update, (state, episode) -> `Update`, in the same way; leaves of
    `episodes` are [R, E, ...]."""

    def check(result: Any, state: MetaState, episode: Pytree) -> None:
        if not isinstance(result, Update):
            raise ConfigError(
                f"algo: episode_update of {name} returns {_kind(result)}; it must return Update({', '.join(Update._fields)})"
            )
        _check_form(f"the direction of {name}", "meta", state["meta"], result.direction, ("in meta", "in the direction"))
        _check_form(f"the carry of {name}", "carry", state["carry"], result.carry)
        _check_metrics(name, result.metrics)

    _computed_twice(update, check, state, tree_map(lambda leaf: leaf[:, 0], episodes), name=name, part="episode_update")


@contextmanager
def without_random_numbers(name: str) -> Iterator[None]:
    """Raises ConfigError where the code inside has drawn from a generator that it shares with others.

    Args:
        name: whose code it is, for the message.
    """
    before = _generators()
    yield
    if _generators() != before:
        raise ConfigError(
            f"algo: {name} draws random numbers, so that a run could not be repeated. Take them from a generator of its own "
            "with a fixed seed, or from what the run passes"
        )


def _generators() -> tuple[object, ...]:
    numbers: Any = np.random.get_state(legacy=True)
    return torch.get_rng_state().numpy().tobytes(), numbers[1].tobytes(), numbers[2], random.getstate()


def _computed_twice(
    function: Callable[..., Pytree], check: Callable[..., None], *batched: Pytree, name: str, part: str
) -> Pytree:
    """Computes a function of the first replicate under `torch.vmap`, with a check of its result there; returns the result, its
    leaves [1, ...]. On the CPU it is computed again: the numbers must be equal. Cards may add up in another order.

    Args:
        part: of the method, that the function computes, for the message.
    """

    def checked(*own: Pytree) -> Pytree:
        before = tree_map(lambda leaf: leaf, own)  # dicts of its own: the function may add keys to those that it receives
        result = function(*own)
        check(result, *before)
        return result

    def computed() -> Pytree:
        copies = tree_map(torch.clone, originals)
        with without_random_numbers(name):
            result = torch.vmap(checked)(*copies)
        after = _leaves(copies)
        for path, leaf in _leaves(originals).items():
            if not _is_same(leaf, after[path]):
                raise ConfigError(
                    f"algo: {name} changes {_named(path)} in place, which the run still needs. Compute a new tensor (x + y, "
                    "not x.add_(y))"
                )
        return tree_map(torch.clone, result)

    originals = tree_map(lambda leaf: leaf[:1], batched)
    first = computed()
    results = _leaves(first)
    if any(leaf.device.type != "cpu" for leaf in results.values()):
        return first
    again = _leaves(computed())
    if any(not _is_same(leaf, again[path]) for path, leaf in results.items()):
        raise ConfigError(
            f"algo: {part} of {name} gives other numbers when it is called again with the same inputs, so that a resumed run "
            "would not go on as it began. It keeps numbers outside the state, as in a global variable, an attribute or a "
            "generator of its own: put them into the state, as tensors"
        )
    return first


def _check_form(
    what: str, word: str, before: Pytree, after: Pytree, when: tuple[str, str] = ("before a unit", "after it")
) -> None:
    """Raises ConfigError unless both have tensors of the same places, shapes and types."""
    old, new = _leaves(before), _leaves(after)
    for path in [*old, *new]:
        was, is_now = (_kind(leaves[path]) if path in leaves else "missing" for leaves in (old, new))
        if was != is_now:
            others = [other for other in new if other not in old] if path not in new else []
            added = f"; {word}{others[0]} is new" if others else ""
            raise ConfigError(
                f"algo: {what} has another form: {word}{path} is {was} {when[0]} and {is_now} {when[1]}{added}. Both must have "
                "the same tensors"
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
    """A value's type in words, with the shape of one replicate."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    return "None" if value is None else f"a {type(value).__name__}"


def _named(path: str) -> str:
    """A path below (state, *inputs) in words."""
    return f"state{path.removeprefix('[0]')}" if path.startswith("[0]") else f"the unit's data{path[path.index(']') + 1 :]}"

"""Several updates of one state, each on an input of its own: on a card a launch for all of them.

An observation of a stream, or a step of a meta-test, is a few small operations, whose launches would cost a card more than
their arithmetic. A CUDA graph therefore holds several of them.

Shapes: U updates.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from metacl_run.core.types import Pytree
from metacl_run.inner.engine import Engine

LONGEST_GRAPH = 16
"""The most updates in one graph: the launch of a graph is then a small part of its time, and it is soon captured."""

Metrics = dict[str, Tensor]
Update = Callable[..., tuple[Pytree, Metrics]]


class SeveralUpdates:
    """Does U updates (state, input) -> (state, metrics) one after another, and adds up their metrics.

    Args:
        engine: prepares them. A CUDA graph is captured for 1, 2, 4, 8 and 16 of them, whenever one is first needed.
        update: of tensors of the same shapes in every call.
    """

    def __init__(self, engine: Engine, update: Update) -> None:
        captures = engine.kind == "cuda_graph"
        self._engine, self._update = engine, update if captures else engine.prepare_update(update)
        self.at_once = LONGEST_GRAPH if captures else 1
        """The most updates that are one piece of work for the device."""
        self._graphs: dict[int, Update] = {}
        self._zeros: Metrics | None = None

    def __call__(self, state: Pytree, sums: Metrics | None, inputs: Pytree) -> tuple[Pytree, Metrics | None]:
        """Args:
            state: before the first of them.
            sums: of the metrics of earlier updates; None: there are none.
            inputs: [U, ...].

        Returns:
            the state after them, and the sums with their metrics.
        """
        count, done = len(tree_leaves(inputs)[0]), 0
        while done < count:
            part = min(self.at_once, 1 << (count - done).bit_length() - 1)
            state, sums = self._part(state, sums, tree_map(lambda leaf: leaf[done : done + part], inputs))  # noqa: B023
            done += part
        return state, sums

    def _part(self, state: Pytree, sums: Metrics | None, inputs: Pytree) -> tuple[Pytree, Metrics]:
        if self.at_once == 1:
            return _one_after_another(self._update, state, sums, inputs)
        if self._zeros is None:
            _, metrics = self._update(state, tree_map(lambda leaf: leaf[0], inputs))
            self._zeros = tree_map(torch.zeros_like, metrics)
        sums = self._zeros if sums is None else sums
        count = len(tree_leaves(inputs)[0])
        if count not in self._graphs:
            self._graphs[count] = self._engine.prepare_update(self._several)
        (state, sums), _ = self._graphs[count]((state, sums), inputs)
        return state, sums

    def _several(self, carry: tuple[Pytree, Metrics], inputs: Pytree) -> tuple[Pytree, Metrics]:
        return _one_after_another(self._update, *carry, inputs), {}


def _one_after_another(update: Update, state: Pytree, sums: Metrics | None, inputs: Pytree) -> tuple[Pytree, Metrics]:
    for place in range(len(tree_leaves(inputs)[0])):
        state, metrics = update(state, tree_map(lambda leaf: leaf[place], inputs))  # noqa: B023
        sums = add_up(sums, metrics)
    assert sums is not None
    return state, sums


def add_up(sums: Metrics | None, metrics: Metrics) -> Metrics:
    """The sums with these metrics added; None: there are no earlier ones."""
    added: Metrics = metrics if sums is None else tree_map(torch.add, sums, metrics)
    return added

"""The one inner loop: differentiable adaptation of fast weights.

MAML, FOMAML, ANIL, Meta-SGD and Reptile call it and differ in what they pass: which parameters are plastic, what rate, what
optimiser, first or second order. It is written for one episode; `inner/engine.py` adds the axes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor
from torch.func import grad
from torch.utils._pytree import tree_map

from metacl_run.core.types import Params, Pytree
from metacl_run.inner.optimizers import Optimizer

Loss = Callable[[Params, Any], Tensor]
"""loss(params, batch) -> scalar."""


def adapt(
    loss: Loss,
    params: Params,
    batches: Iterable[Any],
    *,
    optimizer: Optimizer,
    rate: float | Tensor | Params,
    state: Pytree | None = None,
    plastic: Iterable[str] | None = None,
    first_order: bool,
) -> tuple[Params, Pytree]:
    """Takes one optimiser step on each batch in turn, from `params`.

    The result is a differentiable function of `params` and of `rate`. With `first_order` the inner gradients are constants
    of that function: d(adapted)/d(params) is the identity (Finn et al. 2017, section 5.2, arXiv 1703.03400).

    Args:
        loss: the inner objective, of all parameters and one batch.
        params: where adaptation starts.
        batches: one batch a step, in order; one sample each for online adaptation.
        optimizer: `Sgd` or `Adam`.
        rate: a number, or a dict with a tensor for every plastic parameter (learned rates).
        state: the optimiser's state to go on from; None starts afresh.
        plastic: names of the parameters that move; None: all. The others keep their value and their gradient path.

    Returns:
        All parameters after the last step, and the optimiser's state.
    """
    names = list(params) if plastic is None else list(plastic)
    fast = {name: params[name] for name in names}
    slow = {name: value for name, value in params.items() if name not in fast}
    state = optimizer.init(fast) if state is None else state
    for batch in batches:

        def objective(moving: Params, batch: Any = batch) -> Tensor:
            return loss({**_constant(slow, first_order), **moving}, batch)

        gradients = grad(objective)(_constant(fast, first_order))
        fast, state = optimizer.update(gradients, state, fast, rate)
    return {name: fast.get(name, value) for name, value in params.items()}, state


def _constant(tree: Params, detached: bool) -> Params:
    # Detaching before the gradient is taken, not after, also spares recording the inner backward pass.
    return tree_map(lambda t: t.detach(), tree) if detached else tree

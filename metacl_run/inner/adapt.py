"""The one inner loop: differentiable adaptation of fast weights.

MAML, FOMAML, ANIL, Meta-SGD and Reptile call it and differ in what they pass: which parameters are plastic, which rate, which
optimiser, first or second order. It is written for one episode; `inner/engine.py` adds the axes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from torch import Tensor
from torch.func import grad

from metacl_run.core.types import Params, Pytree
from metacl_run.inner.flat import SideBySide, belongs_side_by_side
from metacl_run.inner.optimizers import Optimizer, Rate

Loss: TypeAlias = Callable[..., Tensor]
"""loss(params, *batch) -> scalar; `Network.loss` and `Network.weighted_loss` are two."""
Shaped: TypeAlias = Callable[[Params], Params]


def adapt(
    loss: Loss,
    params: Params,
    batches: Iterable[Sequence[Any]],
    *,
    optimizer: Optimizer,
    rate: Rate | Sequence[Rate],
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
        batches: one batch a step, in order, as the arguments of `loss`: (x, y), or `Samples`.
        optimizer: `Sgd` or `Adam`.
        rate: a number, or a dict with a tensor for every plastic parameter (learned rates); a list has one for every step.
        state: the optimiser's state to go on from; None starts afresh.
        plastic: names of the parameters that move; None: all. The others keep their value and their gradient path.

    Returns:
        All parameters after the last step, and the optimiser's state.
    """
    *_, last = adapted_by_step(
        loss, params, batches, optimizer=optimizer, rate=rate, state=state, plastic=plastic, first_order=first_order
    )
    return last


def adapted_by_step(
    loss: Loss,
    params: Params,
    batches: Iterable[Sequence[Any]],
    *,
    optimizer: Optimizer,
    rate: Rate | Sequence[Rate],
    state: Pytree | None = None,
    plastic: Iterable[str] | None = None,
    first_order: bool,
) -> Iterator[tuple[Params, Pytree]]:
    """Adapts as `adapt` and yields what it returns after 0, 1 ... steps."""
    names = list(params) if plastic is None else list(plastic)
    fast = {name: params[name] for name in names}
    slow = {name: value for name, value in params.items() if name not in fast}
    state = optimizer.init(fast) if state is None else state

    def objective(moving: Params, *batch: Any) -> Tensor:
        return loss({**constants(slow, first_order), **moving}, *batch)

    def descend(objective: Loss, fast: Params, state: Pytree, shaped: Shaped) -> Iterator[tuple[Params, Pytree]]:
        for step, batch in enumerate(batches):
            of_step = rate[step] if isinstance(rate, Sequence) else rate
            gradient = grad(objective)(constants(fast, first_order), *batch)
            fast, state = optimizer.update(gradient, state, fast, shaped(of_step) if isinstance(of_step, dict) else of_step)
            yield fast, state

    yield params, state
    if fast and belongs_side_by_side(fast):  # a step and its derivatives then launch one kernel each
        layout = SideBySide(fast)
        steps = descend(
            lambda moving, *batch: objective(layout.shaped(moving), *batch),
            layout.flat(fast),
            layout.flat_state(state),
            layout.flat,
        )
        for moved, flat_state in steps:
            yield _with(params, layout.shaped(moved)), layout.shaped_state(flat_state)
    else:
        for moved, new_state in descend(objective, fast, state, lambda rate: rate):
            yield _with(params, moved), new_state


def _with(params: Params, moved: Params) -> Params:
    return {name: moved.get(name, value) for name, value in params.items()}


def constants(params: Params, detached: bool) -> Params:
    """The parameters, as constants of the outer gradient if `detached`.

    Detaching before the inner gradient is taken, not after, also spares recording the inner backward pass.
    """
    return {name: value.detach() for name, value in params.items()} if detached else params

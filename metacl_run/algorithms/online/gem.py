"""Gradient episodic memory: to first order, a step must not raise the loss on the stored samples of any past task.

    metacl-run algo=gem data=rotated_mnist

Lopez-Paz and Ranzato 2017 (arXiv 1706.08840, equations 8 to 12). g is the gradient on the batch, g_k the gradient on the
samples of past task k. If any g . g_k < 0, the step follows

    g~ = g + sum over k of v_k * g_k,   v = argmin of v' G G' v / 2 + (G g)' v over v_k >= margin,   rows of G: the g_k

For margin = 0 this is the vector nearest to g with g~ . g_k >= 0 for every k. A larger margin favours the past tasks.

The dual problem has as many unknowns as there are tasks. An interior point method with a fixed number of Newton steps solves
it; the cost does not depend on the gradients or on the number of past tasks. On the gradients of networks, the constraints hold
up to rounding, and g~ is exact to five digits or more. Both fail if tasks almost contradict each other: with 60 tasks in two
groups whose gradients have a cosine of -0.999, g~ can be wrong by a sixth of its length.

Differences from the paper:
 1. The margin bounds v from below, as in the released code; the paper adds it to the solution.
 2. The released code, and its copies in the code of MER and La-MAML, add 0.001 to the diagonal of G G'. Here `damping` is
    added: with one violated constraint, the share |g_k|^2 / (|g_k|^2 + damping) of the conflict is removed; with 0, all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.func import grad, grad_and_value

from metacl_run.algorithms.online.gradient_learner import GradientLearner, GradientState
from metacl_run.algorithms.online.stream_learner import ReplaySpec
from metacl_run.core.bounds import Examples, NonNegative, Steps
from metacl_run.core.types import Metrics, Observation, Params
from metacl_run.models.network import Network

NEWTON_STEPS = 18
CENTRING = 0.1
"""Each Newton step aims to reduce the duality gap to this share."""
TO_THE_BOUNDARY = 0.99
SMALLEST_GAP = 1e-13
"""The duality gap, in units of the largest product, need not fall further: the Newton equations would lose their digits."""


@dataclass(frozen=True, kw_only=True)
class Gem(GradientLearner[GradientState]):
    """SGD on the stream, its gradient projected to agree with the gradient on the stored samples of every past task.

    Attributes:
        updates: steps for each batch ("glances").
        memories_per_task: latest samples of each task in the replay buffer.
        margin: smallest weight that a past task's gradient gets in a correction.
        damping: added to the diagonal of G G'; 0: none.
    """

    updates: Steps
    memories_per_task: Examples
    margin: NonNegative
    damping: NonNegative

    def replay_spec(self, num_tasks: int) -> ReplaySpec:
        size = self.memories_per_task
        return ReplaySpec(keep="last", capacity=size * num_tasks, draws=num_tasks, size=size, by_task=True)

    def init(self, network: Network, params: Params, num_tasks: int) -> GradientState:
        return self.start(params)

    def observe(self, network: Network, state: GradientState, observed: Observation) -> tuple[GradientState, Metrics]:
        losses, rate = [], self.lr_at(observed)
        for _ in range(self.updates):
            params = state["params"]
            gradient, loss = grad_and_value(network.loss)(params, *observed.batch)
            past = torch.vmap(partial(grad(network.weighted_loss), params))(*observed.draws())
            state = self.step(project(gradient, past, self.margin, self.damping), state, rate)
            losses.append(loss)
        return state, {"loss": torch.stack(losses).mean()}


def project(gradient: Params, past: Params, margin: float, damping: float) -> Params:
    """Returns g~ for a gradient and those of the past tasks [T, ...]; gradients of 0 constrain nothing."""
    g = torch.cat([leaf.flatten() for leaf in gradient.values()])
    rows = torch.cat([leaf.flatten(1) for leaf in past.values()], 1)
    products = rows @ g
    weights = solve_dual(rows @ rows.T, products, margin, damping)
    projected = torch.where((products < 0).any(), g + weights @ rows, g)
    parts = torch.split(projected, [leaf.numel() for leaf in gradient.values()])
    return {name: part.view_as(leaf) for (name, leaf), part in zip(gradient.items(), parts, strict=True)}


def solve_dual(gram: Tensor, products: Tensor, margin: float, damping: float) -> Tensor:
    """Returns the v >= margin, [T], that minimises v' (gram + damping) v / 2 + products' v, damping along the diagonal."""
    squares = gram.diagonal().double()
    lengths = torch.where(squares > 0, squares, 1.0).sqrt()
    # In units where every row of G has length 1. The ridge restores eigenvalues that rounding may have made negative, and gives
    # rows of 0 a curvature.
    ridge = torch.where(squares > 0, 10 * torch.finfo(gram.dtype).eps, 1.0)
    matrix = gram.double() / (lengths * lengths.unsqueeze(1)) + torch.diag_embed(ridge + damping / lengths.square())
    vector = products.double() / lengths + margin * (matrix @ lengths)
    largest = vector.abs().amax()
    unit = torch.where(largest > 0, largest, 1.0)
    above = unit * minimise_over_orthant(matrix, vector / unit)
    return (above / lengths + margin).to(gram.dtype)


def minimise_over_orthant(matrix: Tensor, vector: Tensor) -> Tensor:
    """Returns the u >= 0, [T], that minimises u' matrix u / 2 + vector' u; both of order 1.

    Newton steps on u * z = gap, z = matrix u + vector, from u = z = 1 and with gap going to 0; u and z stay positive
    (Nocedal and Wright, Numerical Optimization, 2nd edition, section 16.6).
    """
    size = len(vector)
    state = torch.ones_like(vector).repeat(2)
    for _ in range(NEWTON_STEPS):
        u, z = torch.split(state, size)
        aim = (CENTRING * (u @ z) / size).clamp(min=SMALLEST_GAP) / u
        ratio = z / u
        du = torch.linalg.solve_ex(matrix + torch.diag_embed(ratio), aim - vector - matrix @ u).result
        step = torch.cat([du, aim - z - ratio * du])
        share = TO_THE_BOUNDARY / (-step / state).amax().clamp(min=TO_THE_BOUNDARY)
        state = torch.addcmul(state, share, step)
    return state[:size]

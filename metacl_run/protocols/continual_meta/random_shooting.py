"""Model-predictive control by random shooting: of plans drawn at random, the one that a model of dynamics expects most of.

From a state s_0, a plan is a sequence of actions a_0 .. a_(H-1), and its expected return

    G = sum over h of r(a_h, s_(h+1)),    s_(h+1) = s_h + f(s_h, a_h),    f: the model, in the units of the state.

The controller takes the first action of the best plan, and plans anew at the next step (Nagabandi et al. 2018, arXiv
1708.02596).
Shapes: N candidates, H steps, S numbers of a state, A of an action.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from metacl_run.data.streams.units import Units


def best_action(
    predict: Callable[[Tensor], Tensor],
    units: Units,
    state: Tensor,
    candidates: Tensor,
    rewards: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Returns the first action [A] of the best candidate; the first one where several are best.

    Args:
        predict: the model, [N, S + A] -> [N, S], in its own units.
        units: of the model.
        state: [S].
        candidates: [N, H, A].
        rewards: of actions [N, A] that lead to states [N, S].
    """
    best = expected_returns(predict, units, state, candidates, rewards).argmax(0)
    return candidates[:, 0].index_select(0, best.unsqueeze(0)).squeeze(0)


def expected_returns(
    predict: Callable[[Tensor], Tensor],
    units: Units,
    state: Tensor,
    candidates: Tensor,
    rewards: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Returns what the model expects of every candidate, [N]; minus infinity where that is not finite. Arguments as above."""
    states, total = state.expand(len(candidates), -1), torch.zeros_like(candidates[:, 0, 0])
    for actions in candidates.unbind(1):
        states = units.following(states, predict(units.inputs(states, actions)))
        total = total + rewards(actions, states)
    return torch.where(total.isfinite(), total, -torch.inf)

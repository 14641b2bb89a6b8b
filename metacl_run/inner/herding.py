"""Herding: samples of a class one after another, so that their mean is near the mean of the class (Welling 2009)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize


def herded(features: Tensor, member: Tensor, most: int) -> Tensor:
    """Ranks the samples of every class as iCaRL takes them (Rebuffi et al. 2017, arXiv 1611.07725, algorithm 4).

    Args:
        features: [N, F] of length 1.
        member: [C, N] bool, the class of each sample; samples of none have no rank.
        most: how many of a class are ranked.

    Returns:
        [N] int64 the rank from 0 within its class; `most` where a sample is not taken.
    """
    count = member.shape[1]
    goal = normalize(member.to(features.dtype) @ features)  # [C, F]
    label = member.to(torch.int8).argmax(0)  # [N]
    places = torch.arange(count, device=features.device)
    rank = torch.full((count,), most, device=features.device)
    # | goal - (total + x) / k |^2, but for what is the same for all samples x of a class, needs three products alone.
    with_goal, with_itself = (goal[label] * features).sum(1), features.square().sum(1)
    with_total = torch.zeros_like(with_itself)
    for turn in range(min(most, count)):
        distance = (2 * with_total + with_itself) / (turn + 1) ** 2 - 2 * with_goal / (turn + 1)
        distance = distance.masked_fill(rank < most, torch.inf)
        nearest, place = torch.where(member, distance, torch.inf).min(1)  # [C]
        own = place[label]  # [N] the sample that the class of each takes in this turn
        rank = torch.where((own == places) & (nearest < torch.inf)[label], turn, rank)
        with_total = with_total + (features * features[own]).sum(1)
    return rank

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
    rank = torch.full((count,), most, device=features.device)
    total = torch.zeros_like(goal)
    for turn in range(min(most, count)):
        distance = (goal[label] - (total[label] + features) / (turn + 1)).square().sum(1)
        distance = distance.masked_fill(rank < most, torch.inf)
        nearest, place = torch.where(member, distance, torch.inf).min(1)  # [C]
        is_one = nearest < torch.inf
        is_next = ((torch.arange(count, device=features.device) == place.unsqueeze(1)) & is_one.unsqueeze(1)).any(0)
        rank = torch.where(is_next, turn, rank)
        total = total + features[place] * is_one.unsqueeze(1)
    return rank

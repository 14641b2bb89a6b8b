"""Means over samples of what is computed from the gradients of each sample by itself."""

from __future__ import annotations

from collections.abc import Callable

import torch

from metacl_run.core.types import Params, Samples

GRADIENTS_AT_ONCE = 50
"""Gradients of single samples that are computed together."""


def mean_over_samples(of_one: Callable[[Samples], Params], samples: Samples, gradients: int = 1) -> Params:
    """Averages a function of one sample, given as a batch [1], over samples [N].

    Args:
        of_one: its results are shaped like parameters.
        samples: [N], N at least 1.
        gradients: how many gradients it computes, on which depends how many samples are computed together.
    """
    total: Params = {}
    for single_samples in samples.unsqueeze(1).chunks(max(1, GRADIENTS_AT_ONCE // gradients)):
        values = torch.vmap(of_one)(single_samples)
        total = {name: total.get(name, 0) + leaf.sum(0) for name, leaf in values.items()}
    return {name: leaf / len(samples.task) for name, leaf in total.items()}

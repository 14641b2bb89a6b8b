"""Linear CKA by its definition, the independent answer of several tests."""

from __future__ import annotations

import torch
from torch import Tensor


def by_gram_matrices(x: Tensor, y: Tensor) -> float:
    """HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) with K = XX', L = YY': Kornblith et al. 2019, equations 2 and 3."""
    n = len(x)
    centre = torch.eye(n, dtype=torch.float64) - 1 / n

    def hsic(k: Tensor, other: Tensor) -> float:
        return float(torch.trace(k @ centre @ other @ centre)) / (n - 1) ** 2

    k, other = x @ x.T, y @ y.T
    return hsic(k, other) / (hsic(k, k) * hsic(other, other)) ** 0.5

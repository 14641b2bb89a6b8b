"""Episodes made of random numbers."""

from __future__ import annotations

import torch

from metacl_run.core.types import Episode


def toy_episode(
    *, episodes: int | None = None, ways: int = 3, shots: int = 2, queries: int = 2, size: int = 8, seed: int = 0
) -> Episode:
    """Random float64 images [.., 1, size, size] in classes that can be told apart."""
    generator = torch.Generator().manual_seed(seed)
    lead = () if episodes is None else (episodes,)
    centre = torch.randn(*lead, ways, 1, size, size, dtype=torch.float64, generator=generator)

    def draw(each: int) -> tuple[torch.Tensor, torch.Tensor]:
        noise = torch.randn(*lead, each, ways, 1, size, size, dtype=torch.float64, generator=generator)
        x = (centre.unsqueeze(len(lead)) + 0.5 * noise).flatten(len(lead), len(lead) + 1)
        y = torch.arange(ways).repeat(each)
        return x, y.expand(*lead, -1).contiguous()

    return Episode(*draw(shots), *draw(queries), torch.zeros(*lead, 0, 0, dtype=torch.int64))

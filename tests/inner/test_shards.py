"""Shards: every rank's part of a batch, and the sum over ranks."""

from __future__ import annotations

import pytest
import torch

from metacl_run.inner.engine import Engine
from metacl_run.inner.shards import WHOLE, Shards


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("size", [7, 8, 16])
def test_shards_cover_a_batch_once_and_evenly(count: int, size: int) -> None:
    shares = [Shards(rank=rank, count=count) for rank in range(count)]
    batch = torch.arange(size)
    parts = [shards.take(batch) for shards in shares]
    assert torch.cat(parts).tolist() == batch.tolist()
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) == shares[0].largest(size)


def test_a_batch_smaller_than_the_ranks_is_computed_by_all() -> None:
    assert Shards(rank=2, count=4).of(3) is WHOLE
    assert Shards(rank=2, count=4).of(4).count == 4


@pytest.mark.parametrize("kind", ["loop", "vmap"])
def test_an_engine_computes_its_own_share_in_one_flat_sum_of_each_dtype(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranks one after another in this process: each adds what it has to what those before it had."""
    batch, count = torch.randn(5, 3, dtype=torch.float64), 2
    seen: list[list[float]] = []
    sums: dict[int, torch.Tensor] = {}

    def function(row: torch.Tensor) -> dict[str, torch.Tensor]:
        if kind == "loop":
            seen[-1].append(row[0].item())
        return {"square": row**2, "first": row[0], "single": row.float().sum()}

    def sum_so_far(own: torch.Tensor) -> torch.Tensor:
        assert own.dim() == 1
        sums[calls] = own + sums.get(calls, 0)
        advance()
        return sums[calls - 1]

    def advance() -> None:
        nonlocal calls
        calls += 1

    monkeypatch.setattr("metacl_run.inner.shards.sum_over_ranks", sum_so_far)
    for rank in range(count):
        calls = 0
        seen.append([])
        engine = Engine(kind=kind, chunk=2, shards=Shards(rank=rank, count=count))  # type: ignore[arg-type]
        mean, mapped = engine.mean(function, batch), engine.map(function, batch)
        assert calls == 4  # two dtypes, for the mean and for the map
    if kind == "loop":
        assert [len(rows) for rows in seen] == [4, 6]  # two of five and three of five, twice
    expected = Engine(kind="loop").map(lambda row: {"square": row**2, "first": row[0], "single": row.float().sum()}, batch)
    for name, values in expected.items():
        torch.testing.assert_close(mapped[name], values, rtol=0, atol=0)
        torch.testing.assert_close(mean[name], values.mean(0))

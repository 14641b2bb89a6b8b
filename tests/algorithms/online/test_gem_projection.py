"""GEM's quadratic problem against exact answers: every active set in turn, and non-negative least squares."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from metacl_run.algorithms.online.gem import minimise_over_orthant, project
from tests.algorithms.online.slow_loops import brute_force


def cone(seed: int, tasks: int, common: float, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Gradients of tasks [tasks, 40] of very different length that share a direction, and one that goes against it."""
    generator = torch.Generator().manual_seed(seed)
    shared, own, g = (torch.randn(shape, dtype=torch.float64, generator=generator) for shape in ((40,), (tasks, 40), (40,)))
    rows = (common * shared + own) * 10 ** (2 * torch.rand(tasks, 1, dtype=torch.float64, generator=generator))
    return rows.to(dtype), (g - 0.5 * common * shared).to(dtype)


def projected(rows: Tensor, g: Tensor, margin: float = 0.0, damping: float = 0.0) -> Tensor:
    """Through `project`, split over two parameters."""
    past = {"a": rows[:, :10].view(-1, 2, 5), "b": rows[:, 10:]}
    result = project({"a": g[:10].view(2, 5), "b": g[10:]}, past, margin, damping)
    assert result["a"].shape == (2, 5)
    return torch.cat([result["a"].flatten(), result["b"]])


@pytest.mark.parametrize("margin", [0.0, 0.5])
@pytest.mark.parametrize("common", [0.0, 1.0, 100.0])
@pytest.mark.parametrize("tasks", [1, 2, 3, 4])
def test_projection_equals_brute_force_over_active_sets(tasks: int, common: float, margin: float) -> None:
    several = 0
    for seed in range(15):
        rows, g = cone(seed, tasks, common)
        if (rows @ g >= 0).all():
            assert torch.equal(projected(rows, g, margin), g)
            continue
        v = brute_force(rows, g, margin)
        expected = g + v @ rows
        error = (projected(rows, g, margin) - expected).norm() / max(g.norm(), expected.norm())
        assert error < 1e-5
        several += bool((v > margin).sum() >= min(tasks, 2))
    assert several or margin  # more than one constraint was active in some


@pytest.mark.parametrize("length", [0.03, 1.0])
def test_damping_takes_away_its_share_of_one_conflict(length: float) -> None:
    rows, g = cone(0, 1, 0.0)
    row = length * rows[0] / rows[0].norm() * -(rows[0] @ g).sign()
    share = length**2 / (length**2 + 1e-3)  # the released code's damping: about half of it at a length of 0.03
    expected = g - share * (g @ row) / (row @ row) * row
    torch.testing.assert_close(projected(row.unsqueeze(0), g, damping=1e-3), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("tasks", "common"), [(20, 0.3), (20, 2.0), (20, 30.0), (60, 1.0)])
def test_projection_of_many_tasks_satisfies_every_constraint_and_is_the_nearest(
    tasks: int, common: float, dtype: torch.dtype
) -> None:
    for seed in range(5):
        rows, g = cone(seed, tasks, common, dtype)
        rows[3] = 0  # a task that is not over
        assert (rows @ g < 0).any()
        near = projected(rows, g)
        lengths = rows.norm(dim=1)
        assert (rows @ near >= -1e-4 * lengths * g.norm()).all()
        over = rows[lengths > 0].double()
        expected = g.double() + active_set(over, g.double()) @ over
        assert (near - expected).norm() < (1e-5 if dtype == torch.float64 else 1e-3) * g.norm()


def active_set(rows: Tensor, g: Tensor) -> Tensor:
    """The v >= 0 with the smallest |v' rows + g|, one constraint at a time (Lawson and Hanson 1974, NNLS)."""
    lengths = rows.norm(dim=1)
    rows = rows / lengths.unsqueeze(1)
    v, free = torch.zeros(len(rows), dtype=rows.dtype), torch.zeros(len(rows), dtype=torch.bool)
    while True:
        gain = -(rows @ (v @ rows + g))
        gain[free] = 0
        if gain.max() < 1e-9 * g.norm():
            return v / lengths
        free[gain.argmax()] = True
        while True:
            best = torch.zeros_like(v)
            best[free] = torch.linalg.lstsq(rows[free].T, -g, driver="gelsd").solution
            if (best[free] > 0).all():
                v = best
                break
            falling = free & (best <= 0)
            share = (v[falling] / (v[falling] - best[falling])).min()
            v = v + share * (best - v)
            free &= v > 1e-12


def test_interior_point_meets_the_optimality_conditions_of_twenty_tasks() -> None:
    for seed in range(10):
        for common in (0.0, 1.0, 30.0):
            rows, g = cone(seed, 20, common)
            rows = rows / rows.norm(dim=1, keepdim=True)
            matrix, vector = rows @ rows.T, rows @ g / (rows @ g).abs().max()
            u = minimise_over_orthant(matrix, vector)
            z = matrix @ u + vector
            assert (u >= 0).all()
            assert (z >= -1e-10).all()
            assert (u * z).max() < 1e-9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_opposed_and_equal_gradients_are_no_trouble(dtype: torch.dtype) -> None:
    rows, g = cone(0, 2, 0.0, dtype)
    row = rows[0] if rows[0] @ g < 0 else -rows[0]
    orthogonal = g - (g @ row) / (row @ row) * row
    for case in (torch.stack([row, row]), torch.stack([row, -row]), torch.stack([row, 1e-12 * row])):
        torch.testing.assert_close(projected(case, g), orthogonal, rtol=1e-3, atol=1e-3 * g.norm().item())
    assert torch.equal(projected(torch.zeros_like(rows), g), g)
    assert torch.equal(projected(rows, torch.zeros_like(g)), torch.zeros_like(g))

"""Shifts of images: none for the first task, one for each other task, decided by the seed."""

from __future__ import annotations

import pytest
import torch

from metacl_run.data.images.shift import BRIGHTEST, KINDS, ImageShift, image_shift
from metacl_run.data.sources.task_shift import NO_SHIFT

IMAGES = torch.rand(6, 3, 28, 28, generator=torch.Generator().manual_seed(0))


def shifted(kind: str, task: int, *, tasks: int = 4, seeds: tuple[int, ...] = (3, 9), replicate: int = 0) -> torch.Tensor:
    shift = image_shift(kind, seeds=seeds, num_tasks=tasks, image_size=28)
    return shift.apply(IMAGES, torch.full((6,), replicate * tasks + task))


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_task_is_not_shifted(kind: str) -> None:
    torch.testing.assert_close(shifted(kind, 0), IMAGES, atol=2e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_tasks_differ_and_stay_in_range(kind: str) -> None:
    results = [shifted(kind, task) for task in range(4)]
    assert all(result.min() >= 0 and result.max() <= 1 for result in results)
    assert all((a - b).abs().mean() > 0.05 for i, a in enumerate(results) for b in results[:i])


@pytest.mark.parametrize("kind", KINDS)
def test_a_replicate_depends_on_its_own_seed(kind: str) -> None:
    together = shifted(kind, 2, seeds=(3, 9), replicate=1)
    torch.testing.assert_close(together, shifted(kind, 2, seeds=(9,)), atol=0, rtol=0)
    if kind in ("permute", "invert", "background"):
        assert not torch.equal(together, shifted(kind, 2, seeds=(3,)))


def test_rows_are_looked_up_per_image() -> None:
    shift = image_shift("permute", seeds=[0], num_tasks=6, image_size=28)
    mixed = shift.apply(IMAGES, torch.arange(6))
    for task in range(6):
        alone = shift.apply(IMAGES, torch.full((6,), task))
        torch.testing.assert_close(mixed[task], alone[task], atol=0, rtol=0)


def test_rotate_spreads_angles_and_a_quarter_is_rot90() -> None:
    torch.testing.assert_close(shifted("rotate", 2), IMAGES.rot90(1, (2, 3)), atol=1e-4, rtol=0)
    shift = image_shift("rotate", seeds=[0], num_tasks=6, image_size=28)
    assert isinstance(shift, ImageShift)
    grid = shift.grid
    assert grid is not None
    right = grid[:, 13, 27] - grid[:, 13, 0]  # where a row of the result points to in the image
    degrees = torch.rad2deg(torch.atan2(right[:, 1], right[:, 0]))
    torch.testing.assert_close(degrees, torch.arange(6) * 30.0, atol=1e-3, rtol=0)


def test_permute_is_a_bijection_shared_by_the_channels() -> None:
    shift = image_shift("permute", seeds=[0], num_tasks=3, image_size=28)
    assert isinstance(shift, ImageShift)
    order = shift.order
    assert order is not None
    assert (order.sort(1).values == torch.arange(784)).all()
    expected = IMAGES.flatten(2)[:, :, order[2]].view_as(IMAGES)
    assert torch.equal(shifted("permute", 2, tasks=3, seeds=(0,)), expected)


def test_invert_turns_half_of_the_cells() -> None:
    changed = (shifted("invert", 1) - (1 - IMAGES)).abs() < 1e-6
    cells = changed.view(6, 3, 4, 7, 4, 7)
    assert (cells.all(5).all(3) == cells.float().mean((3, 5)).gt(0.5)).all()
    assert cells.all(5).all(3).sum((2, 3)).eq(8).all()


def test_background_is_smooth_and_keeps_ink() -> None:
    paper, ink = torch.zeros(1, 1, 28, 28), torch.ones(1, 1, 28, 28)
    shift = image_shift("background", seeds=[0], num_tasks=2, image_size=28)
    texture = shift.apply(paper, torch.tensor([1]))
    assert torch.equal(shift.apply(ink, torch.tensor([1])), ink)
    assert texture.max() == pytest.approx(BRIGHTEST)
    assert texture.diff(dim=-1).abs().max() < 0.25


def test_no_shift_moves_to_a_device_and_changes_nothing() -> None:
    shift = image_shift("none", seeds=[0], num_tasks=2, image_size=28)
    assert shift is NO_SHIFT
    assert shift.to(torch.device("cpu")) is NO_SHIFT
    assert not shift.changes


@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_shift_is_the_same_on_its_device(kind: str) -> None:
    shift, rows = image_shift(kind, seeds=[0], num_tasks=2, image_size=28), torch.ones(6, dtype=torch.int64)
    assert torch.equal(shift.to(torch.device("cpu")).apply(IMAGES, rows), shift.apply(IMAGES, rows))
    assert (shift.changes, shift.is_gather, shift.same_for_seeds) == (True, kind == "permute", kind == "rotate")

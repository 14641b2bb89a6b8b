"""All tensors at once give what one after another does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.testing import assert_close
from torch.utils._pytree import tree_leaves, tree_map

from metacl_run.data.images.image_episodes import QuarterTurns, turned
from metacl_run.inner import engine
from metacl_run.inner.flat import flatly, update_side_by_side
from metacl_run.inner.optimizers import Adam, Optimizer, Sgd, clip


def trees() -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, dict[str, torch.Tensor]]]:
    torch.manual_seed(0)
    params = {"params": {"a": torch.rand(3, 4, dtype=torch.float64), "b": torch.rand(5, dtype=torch.float64)}}
    return params, tree_map(torch.randn_like, params)


@pytest.mark.parametrize("optimizer", [Adam(), Adam(beta1=0.0), Sgd(), Sgd(momentum=0.9)])
def test_a_step_of_all_parameters_as_one_tensor(optimizer: Optimizer) -> None:
    params, gradient = trees()
    states, moved = [optimizer.init(params), optimizer.init(params)], [params, params]

    def update(gradient: Any, state: Any, params: Any) -> tuple[Any, Any]:
        return optimizer.update(clip(gradient, norm=0.5, value=1.0), state, params, 0.1)

    for _ in range(3):
        moved[0], states[0] = update(gradient, states[0], moved[0])
        moved[1], states[1] = update_side_by_side(update, gradient, states[1], moved[1])
    assert_close(moved[0], moved[1])
    assert_close(states[0], states[1])


def test_a_function_of_leaves_of_several_types() -> None:
    leaves = [torch.rand(2, 3), torch.arange(4, dtype=torch.float64).view(2, 2), torch.rand(2)]
    for result, leaf in zip(flatly(lambda flat: flat.sum(0), leaves, keep=1), leaves, strict=True):
        assert result.dtype == leaf.dtype
        assert_close(result, leaf.sum(0))
    for result, leaf in zip(flatly(lambda flat: flat / 2, leaves), leaves, strict=True):
        assert torch.equal(result, leaf / 2)


def test_under_vmap() -> None:
    tree = {"a": torch.rand(3, 2, 2), "b": torch.rand(3, 5)}
    results = torch.vmap(lambda one: dict(zip(one, flatly(torch.exp, list(one.values())), strict=True)))(tree)
    assert_close(results, tree_map(torch.exp, tree))


def test_images_are_turned_as_by_rot90() -> None:
    images = torch.arange(6 * 2 * 9).view(6, 2, 3, 3).to(torch.uint8)
    quarters = torch.tensor([0, 1, 2, 3, 1, 0])
    expected = torch.stack([image.rot90(int(quarter), (1, 2)) for image, quarter in zip(images, quarters, strict=True)])
    assert torch.equal(turned(images, quarters), expected)
    assert torch.equal(QuarterTurns().apply(images.clone(), quarters), expected)


def test_one_result_is_not_copied_and_has_the_layout_of_a_stack() -> None:
    one = torch.rand(1, 3, 4)
    looped = engine._looped(lambda x: {"same": x, "turned": x.T}, (one,))
    assert tree_leaves(looped)[0].data_ptr() == one.data_ptr()
    assert looped["turned"].is_contiguous()
    assert torch.equal(looped["turned"], one.transpose(1, 2))

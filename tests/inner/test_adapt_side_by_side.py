"""Parameters that move as one tensor, as on a card, adapt as those that move one by one, with the same meta-gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import grad, vmap
from torch.testing import assert_close

from metacl_run.inner import adapt as inner
from metacl_run.inner.optimizers import Adam, Optimizer, Sgd

RATES = {"w": torch.tensor([[0.1, 0.2], [0.3, 0.05]], dtype=torch.float64), "b": torch.tensor([0.2, 0.1], dtype=torch.float64)}


def loss(params: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
    return ((x @ params["w"] + params["b"]).tanh() * params["fixed"] - y).square().mean()


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize(
    ("optimizer", "rate"), [(Sgd(), 0.3), (Sgd(), RATES), (Sgd(momentum=0.9), 0.3), (Adam(beta1=0.0), 0.1)]
)
def test_equals_one_by_one(optimizer: Optimizer, rate: Any, first_order: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)

    def draw(*size: int) -> Tensor:
        return torch.randn(size, generator=generator, dtype=torch.float64)

    params, batches = {"w": draw(2, 2), "fixed": draw(1), "b": draw(2)}, [(draw(3, 4, 2), draw(3, 4, 2)) for _ in range(3)]

    def outer(params: dict[str, Tensor], batches: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Any]:
        moved, state = inner.adapt(
            loss, params, batches[:2], optimizer=optimizer, rate=rate, plastic=["w", "b"], first_order=first_order
        )
        return loss(moved, *batches[2]), (moved, state)

    results = []
    for together in (False, True):
        monkeypatch.setattr(inner, "belongs_side_by_side", lambda _: together)  # noqa: B023
        results.append(vmap(grad(outer, has_aux=True), in_dims=(None, 0))(params, batches))
    assert_close(results[1], results[0], rtol=1e-12, atol=1e-14)
    assert list(results[1][1][0]) == list(params)

"""The inner loop and the optimisers against torch.optim, and against derivatives worked by hand."""

from __future__ import annotations

import pytest
import torch
from torch.func import grad

from metacl_run.inner.adapt import adapt
from metacl_run.inner.optimizers import Adam, Optimizer, Sgd, clip, scheduled

torch.manual_seed(0)
TARGET = torch.randn(3, 4, dtype=torch.float64)
START = {"w": torch.randn(3, 4, dtype=torch.float64), "b": torch.randn(4, dtype=torch.float64)}


def loss(params: dict[str, torch.Tensor], batch: torch.Tensor) -> torch.Tensor:
    return (torch.tanh(batch @ params["w"] + params["b"]) - 0.3).square().mean()


BATCHES = [(torch.randn(5, 3, dtype=torch.float64),) for _ in range(6)]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Sgd(), lambda p: torch.optim.SGD(p, lr=0.1)),
        (Sgd(momentum=0.9), lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)),
        (Adam(), lambda p: torch.optim.Adam(p, lr=0.1)),
        (Adam(beta1=0.0), lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.0, 0.999))),
        (Adam(beta1=0.5, beta2=0.9, eps=1e-3), lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.5, 0.9), eps=1e-3)),
    ],
)
def test_inner_updates_equal_torch_optim(ours: Optimizer, theirs: object) -> None:
    adapted, _ = adapt(loss, START, BATCHES, optimizer=ours, rate=0.1, first_order=True)
    params = {name: value.clone().requires_grad_() for name, value in START.items()}
    optimizer = theirs(list(params.values()))  # type: ignore[operator]
    for batch in BATCHES:
        optimizer.zero_grad()
        loss(params, *batch).backward()
        optimizer.step()
    for name in params:
        torch.testing.assert_close(adapted[name], params[name].detach(), rtol=1e-12, atol=1e-14)


def test_state_carries_on_where_it_was_left() -> None:
    whole, _ = adapt(loss, START, BATCHES, optimizer=Adam(), rate=0.1, first_order=True)
    half, state = adapt(loss, START, BATCHES[:3], optimizer=Adam(), rate=0.1, first_order=True)
    rest, _ = adapt(loss, half, BATCHES[3:], optimizer=Adam(), rate=0.1, state=state, first_order=True)
    assert all(torch.equal(whole[name], rest[name]) for name in whole)


def test_only_plastic_parameters_move_and_order_is_kept() -> None:
    adapted, _ = adapt(loss, START, BATCHES, optimizer=Sgd(), rate=0.1, plastic=["b"], first_order=False)
    assert list(adapted) == list(START)
    assert torch.equal(adapted["w"], START["w"])
    assert not torch.equal(adapted["b"], START["b"])


def test_one_step_on_a_quadratic_has_the_derivative_worked_by_hand() -> None:
    # L(w) = a w^2 / 2: one step gives w (1 - rate a), so d/dw of L(adapted) is
    # a w (1 - rate a)^2, first order a w (1 - rate a).
    a, rate, w = 3.0, 0.1, torch.tensor(2.0, dtype=torch.float64)

    def quadratic(params: dict[str, torch.Tensor]) -> torch.Tensor:
        return a * params["w"] ** 2 / 2

    def after(w: torch.Tensor, first_order: bool) -> torch.Tensor:
        adapted, _ = adapt(quadratic, {"w": w}, [()], optimizer=Sgd(), rate=rate, first_order=first_order)
        return quadratic(adapted)

    assert grad(after)(w, False).item() == pytest.approx(a * 2 * (1 - rate * a) ** 2)
    assert grad(after)(w, True).item() == pytest.approx(a * 2 * (1 - rate * a))


def test_learned_rates_receive_their_gradient() -> None:
    # adapted = w - r a w, so d L(adapted) / dr = a adapted * (-a w), in first order too.
    a, w = 3.0, torch.tensor(2.0, dtype=torch.float64)

    def quadratic(params: dict[str, torch.Tensor]) -> torch.Tensor:
        return a * params["w"] ** 2 / 2

    for first_order in (False, True):

        def after(rate: torch.Tensor, first_order: bool = first_order) -> torch.Tensor:
            adapted, _ = adapt(quadratic, {"w": w}, [()], optimizer=Sgd(), rate={"w": rate}, first_order=first_order)
            return quadratic(adapted)

        rate = torch.tensor(0.1, dtype=torch.float64)
        assert grad(after)(rate).item() == pytest.approx(a * 2 * (1 - 0.1 * a) * (-a * 2))


@pytest.mark.parametrize("unit", [0, 30, 99])
def test_schedules_equal_torch(unit: int) -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    for schedule, theirs in (
        ("constant", lambda o: torch.optim.lr_scheduler.ConstantLR(o, factor=1.0)),
        ("linear", lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, 1e-9, total_iters=100)),
        ("cosine", lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=100)),
    ):
        optimizer = torch.optim.SGD([parameter], lr=0.5)
        scheduler = theirs(optimizer)
        for _ in range(unit):
            optimizer.step()
            scheduler.step()
        ours = scheduled(0.5, schedule, torch.tensor(float(unit), dtype=torch.float64), 100)  # type: ignore[arg-type]
        assert ours.item() == pytest.approx(scheduler.get_last_lr()[0], abs=1e-7)


def test_clipping_equals_torch() -> None:
    grads = {"a": torch.randn(4, 3), "b": {"c": torch.randn(5)}}
    parameters = [torch.nn.Parameter(torch.zeros(4, 3)), torch.nn.Parameter(torch.zeros(5))]
    parameters[0].grad, parameters[1].grad = grads["a"].clone(), grads["b"]["c"].clone()
    torch.nn.utils.clip_grad_value_(parameters, 0.7)
    torch.nn.utils.clip_grad_norm_(parameters, 1.5)
    ours = clip(grads, norm=1.5, value=0.7)
    torch.testing.assert_close(ours["a"], parameters[0].grad)
    torch.testing.assert_close(ours["b"]["c"], parameters[1].grad)

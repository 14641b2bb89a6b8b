"""The check of the first unit: code that breaks the rules is refused, above all where it works with one seed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import grad
from torch.nn.functional import one_hot
from torch.utils._pytree import tree_map

from metacl_run.algorithms.continual_meta.episode_learner import EpisodeLearner
from metacl_run.algorithms.meta_learner import Update
from metacl_run.config.options import options_that_are
from metacl_run.core.errors import ConfigError, described
from metacl_run.core.types import Episode
from metacl_run.protocols.unit_check import (
    check_learns_support,
    check_outputs,
    check_state,
    check_unit,
    check_update,
    without_random_numbers,
)
from tests.support.learners import ALGORITHMS, tiny_learner

State = dict[str, Any]
END = "at the end of a task"


def check(unit: Callable[[State, Tensor], Any]) -> tuple[State, Tensor]:
    """Checks a unit on a state of two replicates and three numbers for each; returns both as they are afterwards."""
    state = {"w": torch.ones(2, 3), "steps": torch.zeros(2, dtype=torch.int64), "unset": torch.full((2,), math.nan)}
    data = torch.arange(6.0).view(2, 3)
    check_unit(unit, state, data, name="Mine")
    return state, data


def descend(state: State, x: Tensor) -> tuple[State, dict[str, Tensor]]:
    """A unit that does what it should: a step on the sum of (w x)^2."""
    gradient = grad(lambda w: (w * x).square().sum())(state["w"])
    return {**state, "w": state["w"] - 0.1 * gradient, "steps": state["steps"] + 1}, {"loss": gradient.sum()}


def test_a_unit_that_keeps_the_rules_passes_and_nothing_of_it_stays() -> None:
    state, data = check(descend)
    assert torch.equal(state["w"], torch.ones(2, 3))
    assert torch.equal(state["steps"], torch.zeros(2, dtype=torch.int64))
    assert torch.equal(data, torch.arange(6.0).view(2, 3))


def test_a_unit_is_computed_twice_and_for_one_replicate() -> None:
    calls = []

    def unit(state: State, x: Tensor) -> Any:
        calls.append(torch._C._functorch.get_unwrapped(x))
        return descend(state, x)

    check(unit)
    assert [call.tolist() for call in calls] == 2 * [[[0.0, 1.0, 2.0]]]


def branching(state: State, x: Tensor) -> Any:
    return descend(state, x if x[0] > 0 else -x)


def reading(state: State, x: Tensor) -> Any:
    return descend(state, x * float(x[0]))


def listing(state: State, x: Tensor) -> Any:
    return descend(state, torch.tensor(x.numpy().max()) * x)


def masking(state: State, x: Tensor) -> Any:
    return descend(state, x + x[x > 1].sum())


def filling(state: State, x: Tensor) -> Any:
    doubled = torch.zeros(3)
    doubled[0] = 2 * x[0]
    return descend(state, doubled)


def drawing(state: State, x: Tensor) -> Any:
    return descend(state, x + torch.randn(3))


def requiring(state: State, x: Tensor) -> Any:
    return descend(state, x * state["w"].detach().requires_grad_())


def going_backward(state: State, x: Tensor) -> Any:
    (state["w"] * x).sum().backward()
    return descend(state, x)


@pytest.mark.parametrize(
    ("unit", "advice"),
    [
        (branching, "branches on the value of a tensor"),
        (reading, "reads the value of a tensor"),
        (listing, "takes the numbers out of a tensor"),
        (masking, "makes a tensor whose size depends on values"),
        (filling, "changes a tensor in place"),
        (drawing, "draws random numbers"),
        (requiring, "takes a gradient by backward()"),
        (going_backward, "takes a gradient by backward()"),
    ],
)
def test_torch_refuses_what_cannot_be_mapped_and_the_message_says_what_to_do(unit: Any, advice: str) -> None:
    with pytest.raises(Exception) as refusal:
        check(unit)
    message = described(refusal.value)
    assert message.startswith(f"the code {advice}")
    assert f"({__file__}, line " in message
    assert "vmap:" not in message


def test_one_hot_in_a_gradient_is_refused_with_what_does_the_same() -> None:
    labels = torch.arange(3)

    def unit(state: State, x: Tensor) -> Any:
        gradient = grad(lambda w: (w @ one_hot(x.to(torch.int64), 10).to(w.dtype)).sum())(state["w"])
        return descend(state, gradient)

    with pytest.raises(RuntimeError) as refusal:
        check(unit)
    assert "reads the value of a tensor, as .item(), float(), int(), and within a gradient F.one_hot, do" in described(
        refusal.value
    )
    assert "`y[:, None] == torch.arange(ways, device=y.device)` does the same (" in described(refusal.value)
    assert torch.equal((labels[:, None] == torch.arange(5)).to(torch.int64), one_hot(labels, 5))


def in_place(state: State, x: Tensor) -> Any:
    state["w"].mul_(0.5)
    return descend(state, x)


def in_place_on_data(state: State, x: Tensor) -> Any:
    x.mul_(2)
    return descend(state, x)


def without_a_part(state: State, x: Tensor) -> Any:
    after, metrics = descend(state, x)
    return {name: after[name] for name in ("w", "unset")}, metrics


def under_another_name(state: State, x: Tensor) -> Any:
    after, metrics = descend(state, x)
    return {"step": after["steps"], **{name: after[name] for name in ("w", "unset")}}, metrics


def with_a_part_more(state: State, x: Tensor) -> Any:
    after, metrics = descend(state, x)
    return {**after, "extra": x}, metrics


def with_a_key_more(state: State, x: Tensor) -> Any:
    state["extra"] = x
    return descend(state, x)


def of_another_shape(state: State, x: Tensor) -> Any:
    after, metrics = descend(state, x)
    return {**after, "w": after["w"][:2]}, metrics


def of_another_type(state: State, x: Tensor) -> Any:
    after, metrics = descend(state, x)
    return {**after, "steps": after["steps"] * 0.5}, metrics


def with_a_metric(value: Any) -> Callable[[State, Tensor], Any]:
    return lambda state, x: (descend(state, x)[0], {"loss": value})


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        (in_place, "Mine changes state['w'] in place"),
        (in_place_on_data, "Mine changes the unit's data in place"),
        (without_a_part, "the state of Mine has another form: state['steps'] is int64 [] before a unit and missing after it"),
        (under_another_name, "state['steps'] is int64 [] before a unit and missing after it; state['step'] is new"),
        (with_a_part_more, "state['extra'] is missing before a unit and float32 [3] after it"),
        (with_a_key_more, "state['extra'] is missing before a unit and float32 [3] after it"),
        (of_another_shape, "state['w'] is float32 [3] before a unit and float32 [2] after it"),
        (of_another_type, "state['steps'] is int64 [] before a unit and float32 [] after it"),
        (with_a_metric(0.5), "the metric loss of Mine is a float; it must be a tensor of one number"),
        (with_a_metric(torch.ones(5)), "the metric loss of Mine is float32 [5]; it must be a tensor of one number"),
        (lambda state, x: descend(state, x)[0], "Mine returns a dict for a unit; it must return (state, metrics)"),
    ],
)
def test_a_unit_that_changes_its_input_or_returns_another_form_is_refused(unit: Any, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        check(unit)
    assert str(refusal.value).startswith("algo: ")
    assert message in str(refusal.value)


def test_a_unit_that_keeps_numbers_outside_the_state_is_refused() -> None:
    calls, own = [], np.random.default_rng(0)

    def counting(state: State, x: Tensor) -> Any:
        calls.append(x)
        return descend(state, x / len(calls))

    for unit in (counting, lambda state, x: descend(state, x * own.random())):
        with pytest.raises(ConfigError, match=r"^algo: observe of Mine gives other numbers when it is called again"):
            check_unit(unit, {"w": torch.ones(2, 3), "steps": torch.zeros(2)}, torch.ones(2, 3), name="Mine", part="observe")


@pytest.mark.parametrize("option", ALGORITHMS)
def test_every_shipped_method_passes(option: str) -> None:
    learner = tiny_learner(option)
    state, batch = (tree_map(lambda leaf: leaf[None], tree) for tree in (learner.start(seed=0), learner.batch(seed=1)))
    check_unit(learner.update, state, batch, name=option)
    check_state(learner.end_task, state, batch, name=option, when=END)


def test_any_other_exception_comes_through_as_it_is() -> None:
    with pytest.raises(KeyError, match="parms"):
        check(lambda state, x: descend({"w": state["parms"]}, x))


def test_the_end_of_a_task_must_return_the_same_form() -> None:
    state, data = {"w": torch.ones(2, 3)}, torch.ones(2, 3)
    check_state(lambda state, x: {"w": state["w"] + x}, state, data, name="Mine", when=END)
    with pytest.raises(
        ConfigError, match=r"at the end of a task, the state of Mine has another form: state\['old'\] is missing"
    ):
        check_state(lambda state, x: {**state, "old": x}, state, data, name="Mine", when=END)
    with pytest.raises(ConfigError, match=r"Mine changes state\['w'\] in place"):
        check_state(lambda state, x: {"w": state["w"].add_(x)}, state, data, name="Mine", when=END)


@pytest.mark.parametrize(
    ("outputs", "predicted", "wanted"),
    [
        (4, lambda x: x @ torch.ones(3, 4), None),
        (None, lambda x: x @ torch.ones(3, 4), None),
        (5, lambda x: x @ torch.ones(3, 4), r"float32 \[6, 4\] for 6 inputs; it must predict \[6, 5\]"),
        (None, lambda x: (x @ torch.ones(3, 4)).T, r"float32 \[4, 6\] for 6 inputs; it must predict \[6, outputs\]"),
        (None, lambda x: x.argmax(1), r"int64 \[6\] for 6 inputs; it must predict \[6, outputs\]"),
    ],
)
def test_predictions_are_one_row_for_every_input(outputs: int | None, predicted: Any, wanted: str | None) -> None:
    def check() -> None:
        check_outputs(lambda _, x: predicted(x), {"w": torch.ones(2)}, torch.ones(2, 6, 3), outputs=outputs, name="Mine")

    if wanted is None:
        check()
    else:
        with pytest.raises(ConfigError, match=f"^algo: Mine predicts {wanted}$"):
            check()


QUERY_PARTS = [{"query_x": "support_x"}, {"query_y": "support_y"}]


@pytest.mark.parametrize("typo", [{}, *QUERY_PARTS])
@pytest.mark.parametrize("option", options_that_are("algo", EpisodeLearner))
def test_every_shipped_few_shot_learner_passes_and_a_typo_is_refused(option: str, typo: dict[str, str]) -> None:
    tiny = tiny_learner(option)
    state, episodes = (tree_map(lambda leaf: leaf[None], tree) for tree in (tiny.start(seed=0), tiny.batch(seed=1)))
    episode = tree_map(lambda leaf: leaf[:, 0], episodes)
    episode = episode._replace(query_x=tiny.draws(seed=3).inputs(*episode.support_y.shape[:2]), query_y=episode.support_y)

    def predict(state: Any, x: Tensor, own: Episode) -> Tensor:
        own = own._replace(**{support: getattr(own, query) for query, support in typo.items()})
        fast = tiny.algo.learn(tiny.network, state["meta"], state["carry"], own)
        return tiny.algo.predict(tiny.network, state["meta"], fast, x)

    if typo:
        with pytest.raises(ConfigError, match=r"^algo: learn of Mine learns from the queries"):
            check_learns_support(predict, state, episode, name="Mine")
    else:
        check_learns_support(predict, state, episode, name="Mine")


def updated(direction: Any, carry: Any = None, loss: Any = None) -> Any:
    loss = torch.zeros(()) if loss is None else loss
    return lambda state, episode: Update(direction(state["meta"]), {} if carry is None else carry, {"loss": loss})


@pytest.mark.parametrize(
    ("update", "message"),
    [
        (updated(lambda meta: meta), None),
        (
            lambda state, episode: (state["meta"], {}, {}),
            r"returns a tuple; it must return Update\(direction, carry, metrics\)",
        ),
        (
            updated(lambda meta: meta["params"]),
            r"meta\['params'\]\['w'\] is float32 \[3\] in meta and missing in the direction",
        ),
        (updated(lambda meta: meta, {"n": torch.ones(())}), r"the carry of Mine has another form: carry\['n'\] is missing"),
        (updated(lambda meta: meta, None, torch.ones(3)), r"the metric loss of Mine is float32 \[3\]"),
    ],
)
def test_an_update_has_the_form_of_what_is_meta_learned(update: Any, message: str | None) -> None:
    state: Any = {"meta": {"params": {"w": torch.ones(2, 3)}}, "carry": {}}
    if message is None:
        check_update(update, state, torch.ones(2, 4, 3), name="Mine")
    else:
        with pytest.raises(ConfigError, match=message):
            check_update(update, state, torch.ones(2, 4, 3), name="Mine")


@pytest.mark.parametrize("draw", [lambda: torch.rand(1), lambda: np.random.rand(), lambda: random.random()])
def test_shared_generators_must_not_be_drawn_from(draw: Callable[[], object]) -> None:
    with pytest.raises(ConfigError, match=r"^algo: Mine\.init draws random numbers"), without_random_numbers("Mine.init"):
        draw()
    with without_random_numbers("Mine.init"):
        np.random.default_rng(0).random()
        torch.rand(1, generator=torch.Generator().manual_seed(0))

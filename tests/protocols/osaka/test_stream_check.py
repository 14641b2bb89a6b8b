"""The check before the first unit of a stream: all learners pass it, and messages name the method that breaks a rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_map

from metacl_run.algorithms.osaka.task_free_learner import TaskFreeLearner
from metacl_run.config.options import options_that_are
from metacl_run.core.errors import ConfigError
from metacl_run.protocols.osaka.setup import RecurringSetup
from metacl_run.protocols.osaka.stream_record import StreamRecord
from metacl_run.protocols.osaka.trainer import RecurringTrainer
from tests.support.composing import experiment_of
from tests.support.runs import context_of


def checked(algo: str, **methods: Callable[..., Any]) -> None:
    """Checks the first unit of the stream, with some methods of the learner's class in place of its own."""
    model = ["model=mlp_dynamics"] if algo == "mole" else []
    context = context_of(experiment_of([f"algo={algo}", *model, "debug=true", "seeds=[0,1]", "gpu=cpu"]))
    setup = RecurringSetup.of(context)
    for name, method in methods.items():
        object.__setattr__(setup.algo, name, method)
    states = tree_map(lambda *leaves: torch.stack(leaves), *setup.initial_learners())
    record: StreamRecord = None  # type: ignore[assignment] - nothing is learned
    RecurringTrainer(setup, record, 0).check(states, 0)


@pytest.mark.parametrize("algo", options_that_are("algo", TaskFreeLearner))
def test_shipped_learners_pass(algo: str) -> None:
    checked(algo)


@pytest.mark.parametrize(
    ("name", "method", "message"),
    [
        ("begin", lambda network, state: None, r"after begin, the state of ContinualMaml has another form: state\['slow'\]"),
        ("weights", lambda network, state: state, r"what weights of ContinualMaml returns has another form"),
        ("learned_params", lambda state: state["slow"], r"what learned_params of ContinualMaml returns has another form"),
    ],
)
def test_a_method_that_returns_something_else_is_named(name: str, method: Callable[..., Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        checked("continual_maml", **{name: method})

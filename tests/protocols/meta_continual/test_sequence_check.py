"""The check before the first unit: all learners pass it, and it finds what would only be found after all of meta-training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from metacl_run.algorithms.meta_continual.class_sums import ClassSumsLearner
from metacl_run.config.load import Experiment
from metacl_run.config.options import options_that_are
from metacl_run.core.errors import ConfigError
from metacl_run.protocols.meta_continual.setup import SequenceSetup
from metacl_run.protocols.meta_continual.trainer import TrajectoryTrainer
from tests.support.runs import context_of
from tests.support.settings import FUNCTION_LEARNERS, FUNCTIONS, SEQUENCE_LEARNERS, SMALL_SEQUENCES


def algorithms() -> list[str]:
    from metacl_run.algorithms.meta_continual.trajectory_learner import TrajectoryLearner

    return options_that_are("algo", TrajectoryLearner)


@pytest.fixture
def trainer(experiment: Callable[..., Experiment]) -> Callable[..., tuple[TrajectoryTrainer, Any]]:
    """trainer("oml"): meta-training of two seeds, and their states before it."""

    def build(algo: str) -> tuple[TrajectoryTrainer, Any]:
        tiny = FUNCTIONS if algo in FUNCTION_LEARNERS else [*SEQUENCE_LEARNERS[algo], *SMALL_SEQUENCES]
        built = experiment(f"algo={algo}", "seeds=[0,1]", tiny=tiny)
        setup = SequenceSetup.of(context_of(built), built.data, built.protocol.count_outputs(built.data))
        states = tree_map(lambda *leaves: torch.stack(leaves), *setup.initial_learners())
        places = max(built.algo.classes, built.protocol.schedule[-1]) if algo in FUNCTION_LEARNERS else None
        return TrajectoryTrainer(setup, 4, places), states

    return build


@pytest.mark.parametrize("algo", [name for name in algorithms() if name != "scratch"])
def test_shipped_learners_pass(algo: str, trainer: Callable[..., tuple[TrajectoryTrainer, Any]]) -> None:
    checked, states = trainer(algo)
    checked.check(states, 0)


def narrow(meta: Any, sums: Any, features: Tensor) -> Tensor:
    return features[:, :1]


def misspelt(meta: Any, sums: Any, features: Tensor) -> Tensor:
    return sums.totals  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("scores", "error", "message"),
    [
        (narrow, ConfigError, r"the sequence_learner of Oml predicts float32 \[\d+, 1\] .* it must predict \[\d+, \d+\]"),
        (misspelt, AttributeError, "'ClassSums' object has no attribute 'totals'"),
    ],
)
def test_a_head_that_breaks_the_rules_is_refused(
    scores: Any, error: type[Exception], message: str, trainer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    checked, states = trainer("oml")
    object.__setattr__(checked._setup, "sequence_learner", ClassSumsLearner(scores=scores))
    with pytest.raises(error, match=message):
        checked.check(states, 0)

"""The open-loop error: a model of dynamics predicts many steps ahead from its own predictions, not knowing what really came.

It starts from the first state of an episode's queries, and is told the actions of all of them: after a step its prediction
takes the place of the state in the next input. What is measured is the mean squared error of the state, in its standard
deviations, after 1 to Q steps (Q = data.queries), before and after adaptation to the support set.
Shapes: R replicates, K tasks, E episodes, Q queries, S numbers of a state.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from metacl_run.algorithms.meta_learner import MetaState
from metacl_run.core.types import Episode
from metacl_run.data.streams.feedback import Feedback
from metacl_run.inner.engine import Engine
from metacl_run.models.layers import has_batch_norm
from metacl_run.protocols.continual_meta.scorer import EVALUATION_BLOCK
from metacl_run.protocols.continual_meta.setup import FewShotSetup


def open_loop(setup: FewShotSetup, engine: Engine, learner: MetaState, num_tasks: int, feedback: Feedback) -> np.ndarray:
    """[R, 2, Q] the error after 1 to Q steps, before adaptation and after it, in mean over tasks and over episodes of each."""
    algo, network = setup.algo, setup.network
    normalises = has_batch_norm(setup.module)

    def one(state: MetaState, feedback: Feedback, episode: Episode) -> Tensor:
        meta, fast = state["meta"], algo.learn(network, state["meta"], state["carry"], episode)
        beside = episode.support_x[: None if normalises else 0]  # what passes with an input where there is batch norm

        def errors(outputs: Callable[[Tensor], Tensor]) -> Tensor:
            return errors_of(lambda x: outputs(torch.cat([beside, x.unsqueeze(0)]))[-1], episode, feedback)

        before, after = errors(lambda x: network(meta["params"], x)), errors(lambda x: algo.predict(network, meta, fast, x))
        return torch.stack([before, after])

    mapped = engine.over_replicates(
        lambda state, feedback, batch: engine.map(lambda episode: one(state, feedback, episode), batch).mean(0)
    )
    with torch.no_grad():
        by_task = [mapped(learner, feedback, setup.episodes.evaluation(task, 0, EVALUATION_BLOCK)) for task in range(num_tasks)]
    return torch.stack(by_task).double().mean(0).cpu().numpy()


def errors_of(predict: Callable[[Tensor], Tensor], episode: Episode, feedback: Feedback) -> Tensor:
    """[Q] the squared error of the state after 1 to Q steps, in mean over its numbers; `predict` takes one input."""
    inputs, happened = episode.query_x, feedback.moved(feedback.states(episode.query_x), episode.query_y)
    state, errors = feedback.states(inputs[0]), []
    for x, true in zip(inputs, happened, strict=True):
        state = feedback.moved(state, predict(feedback.with_states(x, state)))
        errors.append((state - true).square().mean())
    return torch.stack(errors)

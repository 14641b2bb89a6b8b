"""What a run says of adaptation itself at its end: the score before it and after every inner step, success by acting
(`adapted_acting.py`), the vectors by which it tells tasks apart (`task_similarity.py`), how a learner recovers after a switch,
how well it predicts from its own predictions (`open_loop.py`), the return of control with it as a model (`model_control.py`).

The recovery curve is of a learner that adapts at every moment to the last M transitions (M = data.shots), while the dynamics
switch to others of the same family: at the moment after j transitions of the new dynamics its support set has these, and M - j
of the old. What is measured is the error of the transition that comes next, from no transition since the switch to M. There is
no curve where the evaluated split has a single dynamics of each family.

The old and the new transitions come from two rollouts: the state jumps at the switch. Since a support set is a set of
transitions, and every one is predicted from its own state, that makes no difference to a learner.
Shapes: R replicates, K tasks, E episodes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from metacl_run.algorithms.continual_meta.episode_learner import TaskDescriber
from metacl_run.algorithms.meta_learner import MetaState
from metacl_run.core.types import Episode, cast_floats
from metacl_run.data.streams.feedback import Feedback
from metacl_run.inner.engine import Engine
from metacl_run.models.layers import has_batch_norm
from metacl_run.protocols.continual_meta.adapted_acting import successes
from metacl_run.protocols.continual_meta.model_control import control_returns
from metacl_run.protocols.continual_meta.open_loop import open_loop
from metacl_run.protocols.continual_meta.scorer import FewShotScorer, episode_scores, scores_before, scores_by_step
from metacl_run.protocols.continual_meta.setup import FewShotSetup
from metacl_run.protocols.continual_meta.task_similarity import task_vectors
from metacl_run.scoring.metric_table import BEFORE, RANDOM
from metacl_run.scoring.scores import RETURN, SUCCESS

RECOVERIES = 100
"""Switches of every task."""


class AdaptationReport(NamedTuple):
    """Further parts of a `ProtocolResult`."""

    extra_metrics: dict[str, np.ndarray]
    details: dict[str, Any]


def adaptation_report(
    setup: FewShotSetup, engine: Engine, learner: MetaState, num_tasks: int, eval_episodes: int, *, by_step: bool
) -> AdaptationReport:
    """Measures what the stream has of these, none, the score before, success by acting, recovery and open-loop error, return;
    what the learner has, the vectors of tasks; and on demand the score after every inner step, mean over tasks."""
    name = setup.network.objective.score_name
    metrics: dict[str, np.ndarray] = {}
    details: dict[str, Any] = {}
    if setup.data.reports_before:
        scorer = FewShotScorer(setup, engine, eval_episodes, scores_before)
        metrics[f"{BEFORE}{name}"] = scorer.scores(learner, range(num_tasks), whole=True).scores.mean(1).cpu().numpy()
    if by_step:
        measured = FewShotScorer(setup, engine, eval_episodes, scores_by_step).of_episodes(learner, range(num_tasks))
        kinds = measured.mean((1, 2)).chunk(1 + has_batch_norm(setup.module), 1)
        curves = {"curve": kinds[0].tolist(), "transductive": kinds[1].tolist() if len(kinds) > 1 else None}
        details["by_step"] = {"score": name, **curves}
    if isinstance(setup.algo, TaskDescriber):
        details["task_vectors"] = task_vectors(setup, engine, learner, num_tasks)
    to_act = setup.episodes.to_act()
    if to_act is not None:
        after, before = (successes(setup, engine, learner, to_act, adapts=adapts) for adapts in (True, False))
        metrics |= {SUCCESS.score_name: after, f"{BEFORE}{SUCCESS.score_name}": before}
    feedback = setup.episodes.pool.feedback
    if feedback is not None:
        curve = recovery(setup, engine, learner, num_tasks)
        if curve is not None:
            details["recovery"] = {"score": name, "curve": curve.tolist()}
        feedback = Feedback(*(cast_floats(leaf, setup.episodes.dtype) for leaf in feedback))
        errors = np.moveaxis(open_loop(setup, engine, learner, num_tasks, feedback), 1, 0).tolist()
        details["open_loop"] = {"score": name, "before": errors[0], "after": errors[1]}
    control = setup.episodes.control()
    if control is not None:
        after, before, random = (
            control_returns(setup, engine, learner, control, controller) for controller in ("adapted", "before", "random")
        )
        by_prefix = {"": after, BEFORE: before, RANDOM: random}
        metrics |= {f"{prefix}{RETURN.score_name}": returns.mean(1) for prefix, returns in by_prefix.items()}
        details["control"] = {"before": before.tolist(), "after": after.tolist(), "random": random.tolist()}
    return AdaptationReport(metrics, details)


def recovery(setup: FewShotSetup, engine: Engine, learner: MetaState, num_tasks: int) -> np.ndarray | None:
    """[R, M + 1] the mean error of the next transition after 0 to M transitions of new dynamics; None where no family has
    others to switch to. The mean is over those that have."""
    curves = []
    for task in range(num_tasks):
        pair = setup.episodes.switches(task, RECOVERIES)
        if pair is None:
            continue
        old, new = pair
        moments = [after_switch(old, new, count) for count in range(setup.data.shots + 1)]
        scores = [episode_scores(setup, engine, learner, episodes)[..., 0].mean(1) for episodes in moments]
        curves.append(torch.stack(scores, 1))
    return torch.stack(curves).double().mean(0).cpu().numpy() if curves else None


def after_switch(old: Episode, new: Episode, count: int) -> Episode:
    """Returns the episodes [R, E, ...] whose support ends `count` transitions after a switch, and whose query comes next."""
    new_x, new_y = torch.cat([new.support_x, new.query_x], 2), torch.cat([new.support_y, new.query_y], 2)
    support_x = torch.cat([old.support_x[:, :, count:], new_x[:, :, :count]], 2)
    support_y = torch.cat([old.support_y[:, :, count:], new_y[:, :, :count]], 2)
    return Episode(support_x, support_y, new_x[:, :, count : count + 1], new_y[:, :, count : count + 1], new.batches)

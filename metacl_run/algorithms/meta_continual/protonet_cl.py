"""Prototypical networks on long sequences: predict by the distance to the mean feature of each class.

    metacl-run algo=protonet_cl data=omniglot

Snell et al. 2017 (arXiv 1703.05175, equations 1 and 2), where f are features and S_c the examples of class c so far:

    m_c = (sum of f(x) over x in S_c) / |S_c|,   the score of class c is -|f(x) - m_c|^2

Only the sums and the numbers |S_c| are kept, so that nothing is forgotten and the order does not matter. Meta-training
minimises the cross-entropy of these scores on the queries of a trajectory, by an ordinary gradient.

  ncm_cl   frozen: the network stays as it starts. On texts, with model=text_head, that is the nearest class mean of the
           encoder's features, the baseline of every method there

Differences from the paper:
 1. Meta-training uses trajectories in place of few-shot episodes: `classes` ways, `class_steps` * `step_examples` shots. At
    meta-test the classes come one after another, and there are as many as the sequence has.
 2. A class without examples cannot be predicted.
 3. The default network normalises every image by itself; the paper's network has batch norm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch.utils._pytree import tree_map

from metacl_run.algorithms.meta_continual.class_scores import distance_scores
from metacl_run.algorithms.meta_continual.class_sums import (
    ClassSumsLearner,
)
from metacl_run.algorithms.meta_continual.refuse_targets import refuse_functions
from metacl_run.algorithms.meta_continual.trajectory_learner import TrajectoryLearner
from metacl_run.algorithms.meta_continual.trajectory_update import trajectory_update
from metacl_run.algorithms.meta_learner import Meta, Update
from metacl_run.core.bounds import Classes, Examples, Hint, Steps
from metacl_run.core.errors import require
from metacl_run.core.types import Params, Pytree, Trajectory
from metacl_run.models.network import Network


@dataclass(frozen=True, kw_only=True)
class Prototypes(TrajectoryLearner):
    """Minus the squared distance to the mean feature of each class.

    Attributes:
        frozen: the network does not learn.
    """

    classes: Annotated[Classes, Ge(2), Hint("to tell them apart")]
    class_steps: Steps
    query_examples: Annotated[Examples, Hint("the loss is taken on them")]
    frozen: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.remember == 0, "remember", self.remember, "must be 0: the scores are of the trajectory's classes alone")

    @property
    def sequence_learner(self) -> ClassSumsLearner:
        return ClassSumsLearner(scores=distance_scores)

    def num_outputs(self, outputs: int) -> int | None:
        return None

    def init(self, network: Network, params: Params) -> Meta:
        refuse_functions("Prototypes", network.objective)
        return {"params": params}

    def episode_update(self, network: Network, meta: Pytree, carry: Pytree, episode: Trajectory) -> Update:
        update = trajectory_update(network, meta, carry, episode, self.sequence_learner)
        return update._replace(direction=tree_map(torch.zeros_like, meta)) if self.frozen else update

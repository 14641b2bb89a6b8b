"""Prototypical networks: classify a query by its distance to the mean feature of each class.

    metacl-run algo=protonet data=split_omniglot

Snell, Swersky, Zemel 2017 (arXiv 1703.05175, equations 1 and 2): the prototype of a class is the mean of its support examples'
features, the logits are minus the squared Euclidean distances, the loss is cross-entropy on the query set. Nothing adapts by
gradient; the meta-gradient is an ordinary gradient.

  ncm_few_shot   frozen: the network stays as it starts. On texts, with model=text_head, that is the nearest class mean of the
                 encoder's features, the baseline of every method there

Differences from the paper:
 1. Training episodes have the same ways and shots as evaluation, unless `train_ways` and `train_shots` are set (the paper
    trains Omniglot with 60 ways, and found that more ways help).
 2. Batch norm uses the statistics of the support set for the prototypes, and of the query set while meta-learning; there are
    no running averages.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from metacl_run.algorithms.continual_meta.closed_form_learner import ClosedFormLearner
from metacl_run.algorithms.meta_learner import Meta, Update, metrics_of
from metacl_run.core.types import Episode, Params, Pytree
from metacl_run.models.network import Network


@dataclass(frozen=True, kw_only=True)
class ProtoNet(ClosedFormLearner):
    """Metric learning. Every class of a support set has the same number of examples.

    Attributes:
        frozen: the network does not learn.
    """

    frozen: bool

    def init(self, network: Network, params: Params, rates: Tensor) -> tuple[Meta, Pytree]:
        network.refuse_real_targets(self, "algo=maml, algo=reptile or another that adapts by gradient")
        return {"params": params}, {}

    def episode_update(self, network: Network, meta: Pytree, carry: Pytree, episode: Episode) -> Update:
        if not self.frozen:
            return super().episode_update(network, meta, carry, episode)
        loss, logits = self.query_loss(network, meta, episode)
        return Update(tree_map(torch.zeros_like, meta), carry, metrics_of(network, loss, logits, episode.query_y))

    def summary(self, network: Network, meta: Pytree, episode: Episode, ways: int) -> Tensor:
        """The prototypes [ways, features], the mean of each class of the support set."""
        support = network(meta["params"], episode.support_x).flatten(1)
        labels = torch.arange(ways, device=support.device)
        member = (episode.support_y.unsqueeze(1) == labels).to(support.dtype)  # [S, ways]
        return member.T @ support / member.sum(0).unsqueeze(1)

    def predict(self, network: Network, meta: Pytree, fast: Pytree, x: Tensor) -> Tensor:
        features = network(meta["params"], x).flatten(1)
        prototypes: Tensor = fast
        return -(features.unsqueeze(1) - prototypes.unsqueeze(0)).square().sum(-1)

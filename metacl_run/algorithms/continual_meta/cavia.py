"""CAVIA: only a small context vector adapts to a task, the network is shared (Zintgraf et al. 2019, arXiv 1810.03642).

    metacl-run algo=cavia data=sinusoid data.num_tasks=5
    metacl-run algo=cavia data=split_omniglot

Algorithm 1, where theta are the parameters of the network and phi is the context vector:

    phi = 0;  phi <- phi - inner_lr * grad_phi L_support(phi, theta), repeated inner_steps times
    theta <- theta - outer_lr * grad_theta L_query(phi, theta), through the inner steps

The context enters one layer (section 3.4). If the first layer is linear, phi is part of its input: W [x, phi] + b, which makes
the offset b + W_phi phi. Otherwise phi modulates the channels of the last but one of the layers that normalise (FiLM, section
3.4; the third block of four, as in the paper), after the norm and before ReLU:

    (1 + U phi) * norm(h) + V phi

W_phi, U and V are meta-learned with theta. After adaptation, phi is all that the learner knows about a task; the report draws
it.

Differences from the paper and its code (lmzintgraf/cavia):
 1. The scale of FiLM is 1 + U phi, not a linear layer with its own offset: the norm already has a scale and an offset. Before
    the first meta-update, the network computes the same as without a context.
 2. W_phi starts as nn.Linear draws it; U and V start uniform in +-sqrt(6 / context_size), in the code in +-sqrt(3 /
    context_size).
 3. The outer learning rate follows `outer_schedule`; in the paper it falls by a tenth every 5,000 meta-updates.
 4. phi modulates before ReLU and pooling; in the code after pooling and before ReLU, which differs where 1 + U phi is negative.
 5. Outer gradients are not limited unless clip_value says so; the code limits each element to 10.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torch.func import grad_and_value

from metacl_run.algorithms.continual_meta.episode_learner import EpisodeLearner, TaskDescriber
from metacl_run.algorithms.meta_learner import Meta, Update, metrics_of
from metacl_run.core.bounds import AT_EVALUATION, Examples, Hint, Positive, StepsFromZero, Width
from metacl_run.core.errors import ConfigError
from metacl_run.core.types import Episode, Params, Pytree
from metacl_run.inner.adapt import adapted_by_step
from metacl_run.inner.optimizers import Sgd
from metacl_run.models.network import HEAD, Network

CONTEXT = "context"


class CaviaMeta(Meta):
    """The parameters of the network, and the weights by which a context modulates it."""

    modulation: Params
    """"offset" [C, D], and where it is FiLM "scale" [C, D]: of C units or channels, linear in the context [D]."""


@dataclass(frozen=True, kw_only=True)
class Cavia(EpisodeLearner, TaskDescriber):
    """Meta-learns a network, and the weights by which a context vector modulates it.

    Attributes:
        context_size: numbers in a context vector.
        inner_lr: rate of the inner loop for a mean loss.
        inner_steps: gradient steps on the support set while meta-learning.
        eval_inner_steps: gradient steps at evaluation.
        first_order: treat the adapted context as a constant in the outer derivative.
    """

    train_queries: Annotated[Examples, Hint("the meta-gradient is taken on the query set")] | None
    context_size: Width
    inner_lr: Annotated[Positive, AT_EVALUATION]
    inner_steps: StepsFromZero
    eval_inner_steps: Annotated[StepsFromZero, AT_EVALUATION]
    first_order: bool

    def num_outputs(self, ways: int) -> int | None:
        return ways

    def inner_batches(self, support: int, training: bool) -> tuple[int, int] | None:
        return None

    def init(self, network: Network, params: Params, rates: Tensor) -> tuple[CaviaMeta, Pytree]:
        layer = context_layer(params)
        weight, (units, size) = params[f"{layer}.weight"], (len(params[f"{layer}.bias"]), self.context_size)
        is_film = weight.dim() == 1
        most = len(rates) // (units * (1 + is_film))
        if size > most:
            raise ConfigError(f"algo.context_size={size}: must be at most {most}, or the network has fewer parameters than it")
        bound = math.sqrt(6 / size) if is_film else 1 / math.sqrt(weight[0].numel() + size)
        draws = (bound * (2 * rates - 1)).to(weight)[: units * size * (1 + is_film)].view(-1, units, size)
        modulation = {"offset": draws[0], **({"scale": draws[1]} if is_film else {})}
        return {"params": params, "modulation": modulation}, {}

    def episode_update(self, network: Network, meta: Pytree, carry: Pytree, episode: Episode) -> Update:
        def query_loss(meta: CaviaMeta) -> tuple[Tensor, Tensor]:
            *_, context = self._contexts(network, meta, episode, self.inner_steps)
            outputs = network(modulated(meta, context.detach() if self.first_order else context), episode.query_x)
            return network.objective.loss(outputs, episode.query_y), outputs

        gradient, (loss, outputs) = grad_and_value(query_loss, has_aux=True)(meta)
        return Update(gradient, carry, metrics_of(network, loss, outputs, episode.query_y))

    def learn(self, network: Network, meta: Pytree, carry: Pytree, episode: Episode) -> Tensor:
        """The adapted context [D]."""
        *_, context = self.learn_by_step(network, meta, carry, episode)
        return context

    def learn_by_step(self, network: Network, meta: Pytree, carry: Pytree, episode: Episode) -> Iterator[Tensor]:
        yield from self._contexts(network, meta, episode, self.eval_inner_steps)

    def predict(self, network: Network, meta: Pytree, fast: Pytree, x: Tensor) -> Tensor:
        return network(modulated(meta, fast), x)

    def task_vector(self, fast: Pytree) -> Tensor:
        context: Tensor = fast
        return context

    def _contexts(self, network: Network, meta: CaviaMeta, episode: Episode, steps: int) -> Iterator[Tensor]:
        """The context after 0, 1 .. `steps` inner steps."""

        def loss(context: Params, x: Tensor, y: Tensor) -> Tensor:
            return network.loss(modulated(meta, context[CONTEXT]), x, y)

        offset = meta["modulation"]["offset"]
        start = {CONTEXT: torch.zeros(offset.shape[1], dtype=offset.dtype, device=offset.device)}
        batches = episode.inner_batches(steps)
        adapted = adapted_by_step(loss, start, batches, optimizer=Sgd(), rate=self.inner_lr, first_order=self.first_order)
        return (context[CONTEXT] for context, _ in adapted)


def context_layer(params: Params) -> str:
    """Returns the layer that a context enters: the first, if it is linear or a convolution with an offset, else of the layers
    that normalise the last but one. Raises ConfigError where a network has none of both."""
    layers = [name.removesuffix(".bias") for name in params if name.endswith(".bias") and name.split(".")[0] != HEAD]
    layers = [layer for layer in layers if f"{layer}.weight" in params]
    if not layers:
        raise ConfigError("model: has no layer with an offset before its last one, for algo=cavia's context to enter")
    if params[f"{layers[0]}.weight"].dim() > 1:
        return layers[0]
    norms = [layer for layer in layers if params[f"{layer}.weight"].dim() == 1]
    return norms[max(0, len(norms) - 2)]


def modulated(meta: CaviaMeta, context: Tensor) -> Params:
    """The network's parameters under a context [D]."""
    params, modulation = meta["params"], meta["modulation"]
    layer = context_layer(params)
    offset, weight, bias = modulation["offset"] @ context, f"{layer}.weight", f"{layer}.bias"
    if "scale" not in modulation:
        return {**params, bias: params[bias] + offset}
    scale = 1 + modulation["scale"] @ context
    return {**params, weight: scale * params[weight], bias: scale * params[bias] + offset}

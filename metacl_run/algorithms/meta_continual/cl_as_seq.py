"""Continual learning as sequence modelling: a transformer that learns by reading (Lee et al. 2023, arXiv 2310.11952).

    metacl-run algo=cl_as_seq                        # or algo=cl_as_seq_linear

The examples of a trajectory, (x_1, y_1), (x_2, y_2) .., are a sequence of tokens. A query is a token that attends to all tokens
before it and predicts its own target. Learning means appending to the sequence, by a forward pass: no parameter changes; the
state is the keys and values of every layer. Meta-training is one pass over a trajectory and its queries, which do not see each
other, and an ordinary gradient (section 3).

  cl_as_seq         softmax attention: the state is the last `context` examples
  cl_as_seq_linear  linear attention, elu + 1 (Katharopoulos et al. 2020, arXiv 2006.16236): a recurrent network whose state
                    does not grow

The model turns an input into half of a token, W numbers. A class is represented by a random vector u of W numbers, drawn anew
for every sequence. This vector is the target of the examples of the class, and the score of the class is u'a / sqrt(W) for the
answer a to a query. So there can be any number of classes, and all are equivalent before a sequence. For functions, one linear
layer reads the targets and another makes the answers.

Differences from the paper and its code (soochan-lee/cl-as-seq):
 1. A class is represented by a random vector, not by a code from a vocabulary whose vectors are learned (one for each class; in
    the code of SB-MCL, 500). Classes without examples have no score.
 2. An example is one token, input and target side by side, not two tokens in a row; tokens have no positions.
 3. The first layers start such that a query takes the targets of similar examples (`sequence_transformer.py`); the code instead
    has an auxiliary loss on attention to the examples of the query's class.
 4. No dropout (0.1 in the code); layers are normalised (not in the code).
 5. Queries attend to the last `context` examples; in the paper, to all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import torch
from annotated_types import Le
from torch import Tensor

from metacl_run.algorithms.meta_continual.class_sums import UNKNOWN
from metacl_run.algorithms.meta_continual.sequence_learner import SequenceLearner
from metacl_run.algorithms.meta_continual.trajectory_learner import TrajectoryLearner
from metacl_run.algorithms.meta_continual.trajectory_update import trajectory_update
from metacl_run.algorithms.meta_learner import Meta, Update
from metacl_run.core.bounds import Examples, Layers, Steps, Width
from metacl_run.core.errors import require_all
from metacl_run.core.types import Params, Pytree, Trajectory
from metacl_run.models.network import Model, Network
from metacl_run.models.sequence_attention import LinearAttention, SequenceAttention, SoftmaxAttention
from metacl_run.models.sequence_transformer import SequenceTransformer, SequenceTransformerModel
from metacl_run.scoring.objectives import CLASSIFICATION, Objective

SHARPNESS = {"softmax": 1.0, "linear": 10.0}
"""Of the layers as they start; elu(10 x) + 1 is nearly 10 relu(x), which tells examples apart better than elu(x) + 1."""


class ReadSequence(NamedTuple):
    """The state after a part of a sequence."""

    layers: tuple[Pytree, ...]
    """The state of every layer's attention."""
    labels: Tensor
    """[C, W] the random vectors of classes; [C, 0] for functions."""
    number: Tensor
    """[C] examples of each class."""


@dataclass(frozen=True)
class Reader(SequenceLearner):
    """Appends every example to the sequence.

    Attributes:
        attention: of every layer.
        label_size: W.
    """

    attention: SequenceAttention
    label_size: int

    def fresh_width(self, network: Network, params: Params) -> int:
        return self.label_size if network.objective is CLASSIFICATION else 0

    def prepare(self, network: Network, meta: Pytree, x: Tensor) -> Tensor:
        return network(meta["params"], x)

    def begin(self, network: Network, meta: Pytree, fresh: Tensor, prepared: Tensor) -> ReadSequence:
        return ReadSequence(_module(network).empty(self.attention, prepared), fresh, fresh.new_zeros(len(fresh)))

    def learn(
        self, network: Network, meta: Pytree, fast: ReadSequence, prepared: Tensor, y: Tensor, rate: Tensor
    ) -> ReadSequence:
        learning = network.part(_module(network).learning(self.attention))
        if network.objective is not CLASSIFICATION:
            return fast._replace(layers=learning(meta["params"], (prepared, y, fast.layers)))
        layers = learning(meta["params"], (prepared, fast.labels[y], fast.layers))
        is_of_class = y == torch.arange(len(fast.number), device=y.device).unsqueeze(1)  # [C, N]
        return ReadSequence(layers, fast.labels, fast.number + is_of_class.sum(1))

    def predict(self, network: Network, meta: Pytree, fast: ReadSequence, prepared: Tensor) -> Tensor:
        answering = network.part(_module(network).answering(self.attention))
        answers: Tensor = answering(meta["params"], (prepared, fast.layers))
        if network.objective is not CLASSIFICATION:
            return answers
        return torch.where(fast.number > 0, answers @ fast.labels.T / math.sqrt(self.label_size), UNKNOWN)


@dataclass(frozen=True, kw_only=True)
class ClAsSeq(TrajectoryLearner):
    """A transformer that reads a sequence of examples.

    Attributes:
        width: width of a token in every layer, 2 W.
        layers: blocks of attention and a perceptron.
        heads: heads of every attention; they divide the width among themselves.
        hidden: width of the perceptron's hidden layer.
        attention: "softmax" or "linear".
        context: number of the last examples that queries attend to, at meta-test; null with attention=linear.
    """

    class_steps: Steps
    width: Annotated[Width, Le(10**5)]
    layers: Layers
    heads: Width
    hidden: Width
    attention: Literal["softmax", "linear"]
    context: Examples | None

    def __post_init__(self) -> None:
        super().__post_init__()
        is_linear = self.attention == "linear"
        needs = "must be null with attention=linear, whose state has one size" if is_linear else "must be at least 1"
        require_all(
            (self.remember == 0, "remember", self.remember, "must be 0: the scores are of the trajectory's classes alone"),
            (self.width % 2 == 0, "width", self.width, "must be even: half of a token is the input"),
            (self.width % self.heads == 0, "heads", self.heads, f"must divide algo.width={self.width}"),
            ((self.context is None) == is_linear, "context", self.context, needs),
        )

    @property
    def sequence_learner(self) -> Reader:
        return self._reader(self.context)

    def model_of(self, model: Model, objective: Objective) -> Model:
        return SequenceTransformerModel(
            inner=model,
            width=self.width,
            layers=self.layers,
            heads=self.heads,
            hidden=self.hidden,
            target_size=self.width // 2 if objective is CLASSIFICATION else None,
            sharpness=SHARPNESS[self.attention],
        )

    def init(self, network: Network, params: Params) -> Meta:
        return {"params": params}

    def episode_update(self, network: Network, meta: Pytree, carry: Pytree, episode: Trajectory) -> Update:
        context = None if self.context is None else min(self.context, episode.num_learned)
        return trajectory_update(network, meta, carry, episode, self._reader(context))

    def _reader(self, context: int | None) -> Reader:
        return Reader(LinearAttention() if context is None else SoftmaxAttention(context), self.width // 2)


def _module(network: Network) -> SequenceTransformer:
    assert isinstance(network.module, SequenceTransformer)
    return network.module

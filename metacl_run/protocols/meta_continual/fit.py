"""What a run under `meta_continual` needs of its data: enough concepts and examples for its sequences and trajectories."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from metacl_run.algorithms.meta_continual.trajectory_learner import TrajectoryLearner
from metacl_run.core.errors import ConfigError, prefix_field_errors, require
from metacl_run.data.streams.concept_stream import ConceptStream
from metacl_run.data.streams.validation import ONE_IN, count_held_out
from metacl_run.protocols.refusals import refuse_beyond_memory
from metacl_run.scoring.objectives import CLASSIFICATION


class ConceptCounts(NamedTuple):
    """Numbers of concepts."""

    meta_train: int
    """Learned from."""
    meta_test: int
    whole: int
    """For meta-training before any validation."""


def count_left(meta_train: int) -> int:
    """Meta-train concepts that are left where the best state is kept. Refuses so few that a probe would learn one concept."""
    if 0 < meta_train < 2 * ONE_IN:
        raise ConfigError(
            f"protocol.keep=best: one of {ONE_IN} meta-train concepts is held out to find the best state, and the data have "
            f"{meta_train}: at least {2 * ONE_IN} are needed, or protocol.keep=last"
        )
    return meta_train - count_held_out(meta_train)


def check_schedule(schedule: Sequence[int], *, concepts: ConceptCounts, chosen_on_train: bool) -> None:
    """Refuses sequences longer than there are concepts.

    Args:
        schedule: numbers of concepts.
        concepts: that there are.
        chosen_on_train: whether a rate is chosen on the meta-train ones.
    """
    longest, text = schedule[-1], f"[{','.join(map(str, schedule))}]"
    meta_train, meta_test, whole = concepts
    if meta_train < 1:
        raise ConfigError(
            f"protocol.schedule={text}: {longest} concepts in sequence are to be held out for validation, but the data "
            f"has {whole} for meta-training, and some must be left. Use a shorter schedule, or protocol.eval_split=test."
        )
    left = str(meta_train)
    if meta_train < whole:
        left += f", {whole - meta_train} others being held out for validation"
    if longest > meta_test:
        raise ConfigError(
            f"protocol.schedule={text}: needs {longest} concepts (classes or functions) in sequence, but the data have "
            f"{meta_test} for meta-test. Use a shorter one, as protocol.schedule=[{max(1, meta_test // 2)},{meta_test}]"
        )
    if chosen_on_train and longest > meta_train:
        raise ConfigError(
            f"protocol.schedule={text}: the rate for {longest} concepts in sequence is to be chosen on meta-train "
            f"ones, of which there are {left}. Use a shorter schedule, or a single one of protocol.rates."
        )


def check_trajectories(algo: TrajectoryLearner, data: ConceptStream, meta_train: int) -> None:
    """Refuses trajectories that need more concepts or examples than there are."""
    learned, held_out = data.count_examples()
    drawn_from = meta_train - meta_train // 2 if algo.halves else meta_train
    with prefix_field_errors("algo"):
        most = f"must be at most the {drawn_from} meta-train concepts that trajectories are drawn from"
        require(algo.classes <= drawn_from, "classes", algo.classes, most)
        most = (
            f"with {algo.step_examples} examples a step and query_examples={algo.query_examples} a trajectory takes "
            f"{algo.examples_per_class} examples of a concept, but each has {learned + held_out}"
        )
        require(algo.examples_per_class <= learned + held_out, "class_steps", algo.class_steps, most)
        most = f"must divide the {learned} examples of a concept that are learned at meta-test"
        require(learned % algo.step_examples == 0, "step_examples", algo.step_examples, most)
        if data.objective is not CLASSIFICATION:
            require(algo.remember == 0, "remember", algo.remember, "must be 0: a function has no place of its own")
    examples = algo.classes * algo.examples_per_class + algo.remember
    numbers = algo.meta_batch_size * examples * math.prod(data.input_shape)
    refuse_beyond_memory(numbers, f"algo.meta_batch_size={algo.meta_batch_size}", "a meta-batch of trajectories")

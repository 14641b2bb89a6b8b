"""The start of a run: from its last checkpoint where there is one, with the kernels that it was begun with."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import keystr, tree_flatten_with_path, tree_map

from metacl_run.core.errors import ConfigError, shown
from metacl_run.core.types import Pytree
from metacl_run.kernels import build
from metacl_run.protocols.run_context import RunContext
from metacl_run.protocols.score_history import ScoreHistory
from metacl_run.protocols.train_state import TrainState, check_same_tensors
from metacl_run.protocols.unit_check import without_random_numbers

log = logging.getLogger("metacl_run")


def start_or_resume(
    context: RunContext[Any, Any, Any], initial_learners: Callable[[], Sequence[Pytree]], num_tasks: int, notes: Sequence[str]
) -> TrainState:
    """The state that a run starts or continues from, with its records cut back to it.

    Args:
        context: the run.
        initial_learners: makes [R] the learner's state of each replicate before any learning.
        num_tasks: T, columns of the accuracy matrix.
        notes: on the data; each becomes a warning of the run, once.

    Raises:
        StorageError: the records are not those of the checkpoint.
    """
    store = context.store
    guard = without_random_numbers(f"{type(context.algo).__name__}.init") if context.checks_code else contextlib.nullcontext()
    with guard:
        learners = initial_learners()
    fresh = TrainState(
        learner=_stacked(learners, type(context.algo).__name__), scores=ScoreHistory.empty(len(learners), num_tasks)
    )
    content, warnings = store.load_checkpoint(fresh.check)
    state = fresh if content is None else TrainState.from_content(content)
    news = [*warnings, *(note for note in notes if note not in state.warnings)]
    for warning in news:
        log.info("warning: %s", warning)  # into run.log, once; the terminal shows it at every start, and with the results
    state.warnings += news
    state = context.ranks.from_first(state).to(context.gpu.torch_device)
    store.open_records(state.record_bytes)
    store.check_records(state.unit - state.units_summed)
    store.write_matrix(state.scores.matrix.numpy())
    if state.transductive is not None:
        store.write_matrix(state.transductive.matrix.numpy(), transductive=True)
    return state


def start_evaluation(
    context: RunContext[Any, Any, Any],
    learner: Pytree,
    initial_learners: Sequence[Pytree],
    num_tasks: int,
    notes: Sequence[str],
) -> TrainState:
    """The state that the evaluation of a trained learner starts or continues from.

    Args:
        context, num_tasks, notes: as for `start_or_resume`.
        learner: the state that was learned, leaves [R, ...].
        initial_learners: [R] what a learner of these settings looks like before any learning.

    Raises:
        ConfigError: the learner is not one of these settings.
    """
    try:
        initial = _stacked(initial_learners, type(context.algo).__name__)
        check_same_tensors({"learner": initial}, {"learner": learner})
    except ValueError as error:
        raise ConfigError(
            f"the learner of the run does not fit these settings: {error}. start_from=<the run> begins a new run with what it "
            "has learned, with a new head where the shapes differ"
        ) from None
    learners = [tree_map(lambda leaf: leaf[replicate], learner) for replicate in range(len(initial_learners))]  # noqa: B023
    return start_or_resume(context, lambda: learners, num_tasks, notes)


def first_learner(context: RunContext[Any, Any, Any], initial_learners: Callable[[], Sequence[Pytree]]) -> Pytree:
    """The learner of all replicates before any learning, leaves [R, ...] on the device of the run."""
    learner = _stacked(initial_learners(), type(context.algo).__name__)
    return tree_map(lambda leaf: leaf.to(context.gpu.torch_device), learner)


def _stacked(learners: Sequence[Pytree], name: str) -> Pytree:
    """The states of all replicates as one, leaves [R, ...].

    Raises:
        ConfigError: the method `name` starts from a state that has something else than tensors.
    """
    for path, leaf in tree_flatten_with_path(learners[0])[0]:
        if not isinstance(leaf, Tensor):
            raise ConfigError(
                f"algo: the first state of {name} (init) has {shown(leaf)} where a tensor has to be: state{keystr(path)}. A "
                "state is nested dicts of tensors"
            )
    return tree_map(lambda *leaves: torch.stack(leaves), *learners)


@contextlib.contextmanager
def same_kernels(state: TrainState, device: torch.device) -> Iterator[None]:
    """Computes with the kernels that the run was begun with, since others round differently, or warns that it cannot."""
    if state.kernels == build.OFF:
        with build.without():
            yield
        return
    available = build.name() if device.type == "cpu" else build.OFF
    if state.kernels not in ("", available):
        warning = (
            f"the run was begun with the compiled kernels {state.kernels} and goes on with "
            f"{'torch operations' if available == build.OFF else available}: its numbers are right, but from here on they may "
            "differ in the last digits from those of a run that was never interrupted"
        )
        log.info("warning: %s", warning)
        state.warnings.append(warning)
    state.kernels = available
    yield

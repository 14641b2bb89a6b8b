"""The number of episodes computed at once. A forecast of memory decides it at the first start; a resumed run reuses it, since
the size of a chunk decides the order of summation.

A CUDA graph keeps what its episodes need for as long as the run lasts, and a copy of the learner's state: the graphs of
training and of evaluation share gpu.memory_gb in equal parts. Without graphs each has all of it, one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import torch
from torch.utils._pytree import tree_leaves

from metacl_run.core.errors import CardTooSmallError, shown
from metacl_run.inner.engine import Engine
from metacl_run.inner.forecast import chunk_for
from metacl_run.inner.shards import WHOLE
from metacl_run.protocols.continual_meta.scorer import EVALUATION_BLOCK, episode_scores
from metacl_run.protocols.continual_meta.setup import FewShotSetup
from metacl_run.protocols.continual_meta.trainer import meta_update
from metacl_run.protocols.train_state import TrainState
from metacl_run.runtime.device import Gpu


class ChunkedEngines(NamedTuple):
    """The engines of a run."""

    train: Engine
    evaluate: Engine


class _Job(NamedTuple):
    """Work that is done in chunks.

    Attributes:
        name: a field of `ChunkedEngines`.
        verb: for messages.
        episodes: the most of one call.
        shapes: how many numbers of episodes it is called with; a graph is captured for each.
        compute: computes so many episodes.
    """

    name: str
    verb: str
    episodes: int
    shapes: int
    compute: Callable[[int], object]


def chunked_engines(setup: FewShotSetup, state: TrainState, gpu: Gpu, eval_episodes: int) -> ChunkedEngines:
    """Returns the engines of meta-updates and of evaluations, with chunks from `state.fixed_choices`, chosen if it has none.

    Raises:
        CardTooSmallError: one episode needs more than the card has.
    """
    return ChunkedEngines(*_engines(setup, state, gpu, [_training(setup, state), _evaluation(setup, state, eval_episodes)]))


def evaluation_engine(setup: FewShotSetup, state: TrainState, gpu: Gpu, eval_episodes: int) -> Engine:
    """Returns the engine of evaluations where there is no training; as `chunked_engines`."""
    (engine,) = _engines(setup, state, gpu, [_evaluation(setup, state, eval_episodes)])
    return engine


def _training(setup: FewShotSetup, state: TrainState) -> _Job:
    update = meta_update(setup, _whole(setup))
    return _Job(
        name="train",
        verb="training on",
        episodes=setup.engine.shards.largest(setup.algo.meta_batch_size),
        shapes=1,
        compute=lambda count: update(state.learner, setup.episodes.training(0, 0, limit=count)),
    )


def _evaluation(setup: FewShotSetup, state: TrainState, eval_episodes: int) -> _Job:
    blocks, rest = divmod(eval_episodes, EVALUATION_BLOCK)
    return _Job(
        name="evaluate",
        verb="evaluating on",
        episodes=setup.engine.shards.largest(min(eval_episodes, EVALUATION_BLOCK)),
        shapes=(blocks > 0) + (rest > 0),
        compute=lambda count: episode_scores(setup, _whole(setup), state.learner, setup.episodes.evaluation(0, 0, count)),
    )


def _whole(setup: FewShotSetup) -> Engine:
    return replace(setup.engine, chunk=None, shards=WHOLE)


def _engines(setup: FewShotSetup, state: TrainState, gpu: Gpu, jobs: Sequence[_Job]) -> list[Engine]:
    if "chunks" not in state.fixed_choices:
        _choose(setup.engine, state, gpu, jobs)
    return [replace(setup.engine, chunk=state.fixed_choices["chunks"][job.name]) for job in jobs]


def _choose(engine: Engine, state: TrainState, gpu: Gpu, jobs: Sequence[_Job]) -> None:
    """Adds "chunks" and "forecast" to the fixed choices. A chunk is a part of one rank's episodes."""
    graphs = engine.kind == "cuda_graph"
    own_state = sum(leaf.nbytes for leaf in tree_leaves(state.learner)) if graphs else 0
    share = gpu.memory_bytes // (sum(job.shapes for job in jobs) if graphs else 1)
    chunks: dict[str, int] = {}
    forecast: dict[str, float] = {}
    least = 0  # bytes that the run needs with one episode at a time
    for job in jobs:
        if gpu.chunk is not None or engine.kind == "loop":
            chunk, total = min(gpu.chunk or 1, job.episodes), 0
        else:
            with _one_episode_at_least(gpu, job.verb):
                best = chunk_for(job.compute, episodes=job.episodes, budget=share - own_state, device=gpu.torch_device)
            chunk, total, one = best.episodes, best.bytes + own_state, best.bytes_of_one + own_state
            if one > share:
                state.warnings.append(
                    f"gpu.memory_gb={shown(gpu.memory_gb)}: {job.verb} one episode needs {_gb(one)}, and has {_gb(share)}. "
                    "Episodes are computed one at a time all the same"
                )
            least = least + one * job.shapes if graphs else max(least, one)
        chunks[job.name] = forecast[f"{job.name}_chunk"] = chunk
        forecast[f"{job.name}_mb"] = round(total / 1e6, 1)
    if gpu.torch_device.type == "cuda":
        _refuse_beyond_card(gpu, least, graphs)
    state.fixed_choices |= {"chunks": chunks, "forecast": forecast}


# ---------------------------------------------------------------------------------------------- not even one episode

REMEDY = "Fewer seeds, fewer examples in an episode, fewer inner steps or a smaller model needs less"


@contextmanager
def _one_episode_at_least(gpu: Gpu, verb: str) -> Iterator[None]:
    """Turns the card's own refusal of a single episode into ours."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        device = gpu.torch_device
        raise CardTooSmallError(
            f"gpu.memory_gb={shown(gpu.memory_gb)}: {verb} one episode alone needs more than the card has left: of its "
            f"{_gb(_total(device))} the run had {_gb(torch.cuda.max_memory_allocated(device))} when there was no more "
            f"({shown(str(error).splitlines()[0])}). {REMEDY}; gpu=cpu computes in the machine's memory"
        ) from None


def _refuse_beyond_card(gpu: Gpu, least: int, graphs: bool) -> None:
    """Raises CardTooSmallError where one episode at a time, beside what is on the card already, is more than it has."""
    need, total = torch.cuda.memory_allocated(gpu.torch_device) + least, _total(gpu.torch_device)
    if need > total:
        instead = "gpu.engine=vmap, which keeps no graphs, or gpu=cpu" if graphs else "gpu=cpu"
        raise CardTooSmallError(
            f"gpu.memory_gb={shown(gpu.memory_gb)}: one episode at a time needs {_gb(need)} by the forecast, and the card has "
            f"{_gb(total)}. {REMEDY}; or use {instead}"
        )


def _total(device: torch.device) -> int:
    return int(torch.cuda.get_device_properties(device).total_memory)


def _gb(count: int) -> str:
    return f"{count / 1e9:.3g} GB"

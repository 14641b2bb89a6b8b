"""The number of episodes computed at once. A forecast of memory decides it at the first start; a resumed run reuses it, since
the size of a chunk decides the order of summation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

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


def chunked_engines(setup: FewShotSetup, state: TrainState, gpu: Gpu, eval_episodes: int) -> ChunkedEngines:
    """Returns the engines of meta-updates and of evaluations, with chunks from `state.fixed_choices`, chosen if it has none."""
    if "chunks" not in state.fixed_choices:
        _choose(setup, state, gpu, eval_episodes)
    chunks = state.fixed_choices["chunks"]
    return ChunkedEngines(*(replace(setup.engine, chunk=chunks[name]) for name in ChunkedEngines._fields))


def _choose(setup: FewShotSetup, state: TrainState, gpu: Gpu, eval_episodes: int) -> None:
    """Adds "chunks" and "forecast" to the fixed choices. A chunk is a part of one rank's episodes."""
    whole, shards, learner = replace(setup.engine, chunk=None, shards=WHOLE), setup.engine.shards, state.learner
    jobs: dict[str, tuple[int, Callable[[int], object]]] = {
        "train": (
            shards.largest(setup.algo.meta_batch_size),
            lambda count: meta_update(setup, whole)(learner, setup.episodes.training(0, 0, limit=count)),
        ),
        "evaluate": (
            shards.largest(min(eval_episodes, EVALUATION_BLOCK)),
            lambda count: episode_scores(setup, whole, learner, setup.episodes.evaluation(0, 0, count)),
        ),
    }
    chunks: dict[str, int] = {}
    forecast: dict[str, float] = {}
    for name, (episodes, compute) in jobs.items():
        if gpu.chunk is not None or whole.kind == "loop":
            chunk, forecast_bytes = min(gpu.chunk or 1, episodes), 0
        else:
            chunk, forecast_bytes = chunk_for(compute, episodes=episodes, budget=gpu.memory_bytes)
        chunks[name] = forecast[f"{name}_chunk"] = chunk
        forecast[f"{name}_mb"] = round(forecast_bytes / 1e6, 1)
    state.fixed_choices |= {"chunks": chunks, "forecast": forecast}

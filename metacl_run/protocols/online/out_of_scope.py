"""The detection of examples that belong to no class, by the largest probability among the outputs.

The baseline of Hendrycks and Gimpel 2017 (arXiv 1610.02136), which Larson et al. 2019 (arXiv 1909.02027) use on CLINC150.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from metacl_run.algorithms.online.stream_learner import StreamState
from metacl_run.core.types import cast_floats
from metacl_run.data.streams.stream import SamplePool
from metacl_run.protocols.online.held_out import AT_ONCE
from metacl_run.protocols.online.setup import StreamSetup
from metacl_run.scoring.auroc import auroc
from metacl_run.scoring.metric_table import OOS_AUROC
from metacl_run.scoring.objectives import CLASSIFICATION


def metrics(setup: StreamSetup, learner: StreamState) -> dict[str, np.ndarray]:
    """{OOS_AUROC: [R]} between all test samples and the out-of-scope examples; empty where the data have none, or where the
    task is known: such an example belongs to no task either."""
    if not _is_measured(setup.pool) or setup.network.objective is not CLASSIFICATION:
        return {}
    return {OOS_AUROC: np.array([_auroc(setup, learner, replicate) for replicate in range(len(setup.seeds))])}


def notes(pool: SamplePool) -> list[str]:
    """A note on out-of-scope examples that cannot be used."""
    if pool.out_of_scope is None or _is_measured(pool):
        return []
    return [
        f"the {len(pool.out_of_scope)} out-of-scope test examples are not used: in a task-incremental stream the task of a "
        "query is told, and they belong to none"
    ]


def _is_measured(pool: SamplePool) -> bool:
    return pool.out_of_scope is not None and pool.masks is None


def _auroc(setup: StreamSetup, learner: StreamState, replicate: int) -> float:
    assert setup.pool.out_of_scope is not None
    tested = [setup.pool.test(task, None)[replicate].x for task in range(setup.num_tasks)]
    known = torch.cat([_largest(setup, learner, replicate, x) for x in tested])
    unknown = _largest(setup, learner, replicate, setup.pool.out_of_scope)
    return auroc(known.cpu().numpy(), unknown.cpu().numpy())


def _largest(setup: StreamSetup, learner: StreamState, replicate: int, x: Tensor) -> Tensor:
    """[N] the largest probability of each example among what the learner predicts, float64."""
    with torch.no_grad():
        outputs = [setup.outputs(learner, replicate, cast_floats(part, setup.dtype), None) for part in x.split(AT_ONCE)]
    return torch.cat(outputs).double().softmax(-1).amax(-1)

"""Builds the learner of a run from its files: no data are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch.utils._pytree import tree_map

from metacl_run.api.learner import Learner
from metacl_run.core.errors import ConfigError, shown
from metacl_run.protocols.meta_continual.predictor import SequencePredictor
from metacl_run.protocols.predictor import Predictor
from metacl_run.storage.stored_run import StoredRun
from metacl_run.trained_run import evaluation_of, learned_state


def open_learner(
    run: StoredRun, seed: int | None, overrides: Sequence[str], device: str, after_task: int | None = None
) -> Learner:
    """The learner of one seed, at the end of the run or after a task.

    Raises:
        UserError: the run has no such seed, state or has not completed, or a setting cannot be changed.
    """
    if device not in ("cpu", "cuda"):
        raise ConfigError(f"device={device!r}: must be cpu or cuda")
    seed = run.seeds[0] if seed is None else seed
    if seed not in run.seeds:
        raise ConfigError(f"seed={seed!r}: the run has {', '.join(map(str, run.seeds))}")
    experiment = evaluation_of(run.directory, [*overrides, f"gpu.device={device}", "gpu.engine=auto"])
    if after_task is not None:
        _check_task(run, after_task)
    gpu, data = experiment.gpu, experiment.data
    state = learned_state(run.directory, after_task)
    replicate = run.seeds.index(seed)
    own = tree_map(lambda leaf: leaf[replicate].to(gpu.torch_device), state)
    parts = experiment.algo, experiment.model, data, gpu, own
    outputs = None if experiment.trained is None else experiment.trained.outputs
    predictor: Predictor = experiment.protocol.predictor(*parts, outputs)
    if isinstance(predictor, SequencePredictor):
        predictor = replace(predictor, rate=_chosen_rate(run, replicate))
    return Learner(
        seed=seed,
        classes=_classes(run, replicate),
        input_shape=tuple(data.input_shape),
        _predictor=predictor,
        _source=data.source,
        _objective=data.objective,
        _dtype=gpu.dtype,
        _device=gpu.torch_device,
    )


def _check_task(run: StoredRun, task: int) -> None:
    """Refuses a task after which the learner was not kept. Raises ConfigError."""
    if run.config["protocol"].get("keep_states") != "tasks":
        raise ConfigError(
            f"after_task={shown(task)}: the run has kept the learner at its end alone. A run with protocol.keep_states=tasks, "
            "under protocol=online or continual_meta, keeps it after every task"
        )
    if isinstance(task, bool) or not isinstance(task, int) or not 0 <= task < run.num_tasks:
        number = f"must be a whole number from 0 to {run.num_tasks - 1}"
        raise ConfigError(f"after_task={shown(task)}: {number}; the run has {run.num_tasks} tasks")


def _classes(run: StoredRun, replicate: int) -> tuple[str | None, ...] | None:
    """The name of the class of every output; None where the run does not say."""
    predictions = run.predictions
    if predictions is None or predictions.outputs is None:
        return None
    return tuple(None if place == -1 else predictions.classes[place] for place in predictions.outputs[replicate])


def _chosen_rate(run: StoredRun, replicate: int) -> float | None:
    """The rate that the run's meta-test chose for its longest sequence; None where there is none."""
    test = None if run.sequences is None else run.sequences.meta_test
    if test is None or test.rate_of_matrix is None:
        return None
    return float(test.rate_of_matrix[replicate])

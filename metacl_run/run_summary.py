"""The summary of a run: what is known before it, and what it reached."""

from __future__ import annotations

from typing import Any

from metacl_run.config.load import Experiment
from metacl_run.protocols.protocol_result import ProtocolResult
from metacl_run.protocols.score_history import Evaluations
from metacl_run.runtime.process_memory import peak_memory_mb
from metacl_run.scoring import matrix_metrics
from metacl_run.scoring.intervals import spread
from metacl_run.scoring.metric_table import TRANSDUCTIVE, possible_values
from metacl_run.storage.run_files import CHOICES, SCHEMA


def unit_name(experiment: Experiment) -> str:
    """The name of a unit of work: a trained learner is evaluated task by task."""
    return "evaluation" if experiment.trained is not None else str(experiment.protocol.unit_name)


def known_before(experiment: Experiment) -> dict[str, Any]:
    """Returns the part of the summary that is known before the run."""
    choices = {group: experiment.choices[group] for group in CHOICES}
    trained = experiment.trained
    origin: dict[str, Any] = {}
    if trained is not None:
        origin["evaluation_of"] = {"run_id": trained.run_id, "directory": str(trained.directory)}
    if (start := experiment.starting_run) is not None:
        names = {"run_id": start.run_id, "algo": start.algo, "data": start.data}
        origin["start_from"] = {**names, "directory": str(start.directory)}
    return {
        "schema": SCHEMA,
        "status": "running",
        "run_id": experiment.run_id,
        **choices,
        "protocol_kind": experiment.protocol.kind,
        "seeds": experiment.seeds,
        "eval_split": experiment.protocol.eval_split,
        "score": experiment.data.score.score_name,
        "tags": experiment.tags,
        "command": experiment.command,
        "config": experiment.resolved,
        "without_effect": experiment.ignored_by_run_id,
        "debug": experiment.debug,
        **origin,
    }


def reached(experiment: Experiment, result: ProtocolResult) -> dict[str, Any]:
    """Returns the part of the summary that the computation gave."""
    seconds = result.train_s + result.evaluate_s + result.insight_s
    objective = experiment.data.score

    def summarise(evaluations: Evaluations) -> dict[str, dict[str, Any]]:
        probes = evaluations.probes, result.probe_tasks
        return matrix_metrics.summarise(
            evaluations.matrix, *probes, objective, result.sizes, result.forward_transfer, result.test_samples
        )

    metrics = summarise(result.evaluations)
    metrics |= {name: spread(values, possible_values(name, objective)) for name, values in result.extra_metrics.items()}
    half_widths = {"evaluation_half_width": result.evaluations.half_width.tolist()}
    if result.transductive is not None:
        metrics |= {f"{TRANSDUCTIVE}{name}": metric for name, metric in summarise(result.transductive).items()}
        half_widths[f"{TRANSDUCTIVE}half_width"] = result.transductive.half_width.tolist()
    return {
        "status": result.status,
        "metrics": metrics,
        "timing": {
            "wall_s": seconds,
            "train_s": result.train_s,
            "evaluate_s": result.evaluate_s,
            "insight_s": result.insight_s,
            "units": result.units,
            "units_per_s": result.units / result.train_s if result.train_s else None,
        },
        "cost": result.cost,
        "peak_memory_mb": peak_memory_mb(experiment.gpu.torch_device),
        "memory_forecast": result.forecast,
        "task_names": result.task_names,
        "units_per_task": result.units_per_task,
        **({} if result.task_units is None else {"task_units": list(result.task_units)}),
        "unit_name": unit_name(experiment),
        "chance": result.chance,
        "forward_transfer": result.forward_transfer,
        **half_widths,
        "warnings": [*experiment.warnings, *result.warnings],
        "error": result.error,
        **result.details,
    }

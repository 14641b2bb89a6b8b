"""The wiring of one run: opens its directory, shows, continues or starts it, calls the protocol, writes summary and report."""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from torch.utils._pytree import tree_map

from metacl_run.config.load import Experiment
from metacl_run.core.errors import RunIsLockedError, UserError, prefix_field_errors
from metacl_run.finished_run import draw, show, warn_of_another_environment
from metacl_run.listeners.console import Console
from metacl_run.protocols.protocol_result import ProtocolResult
from metacl_run.protocols.run_context import RunContext
from metacl_run.protocols.score_history import Evaluations
from metacl_run.runtime.environment import describe
from metacl_run.runtime.process_memory import keep_freed_memory, peak_memory_mb
from metacl_run.runtime.ranks import ALONE, Ranks
from metacl_run.runtime.stopping import stop_on_signal
from metacl_run.scoring import matrix_metrics
from metacl_run.scoring.intervals import spread
from metacl_run.scoring.metric_table import TRANSDUCTIVE, possible_values
from metacl_run.storage.listener import Listener, RunInfo
from metacl_run.storage.lock import is_locked
from metacl_run.storage.run_files import SCHEMA
from metacl_run.storage.run_log import to_file, to_terminal
from metacl_run.storage.run_state import earlier_run
from metacl_run.storage.run_writer import RunWriter, SilentWriter
from metacl_run.storage.store import RunStore
from metacl_run.storage.stored_run import StoredRun
from metacl_run.trained_run import learned_state

EXIT = {"completed": 0, "failed": 1, "diverged": 3, "interrupted": 130}
log = logging.getLogger("metacl_run")


def run(experiment: Experiment, ranks: Ranks = ALONE) -> int:
    """Computes, continues or shows the run, and returns the exit status.

    Raises:
        UserError: data are missing, the directory cannot be written, another process computes the run, too many ranks.
    """
    with to_terminal():
        return _lead(experiment, ranks) if ranks.leads else _follow(experiment, ranks)


def _lead(experiment: Experiment, ranks: Ranks) -> int:
    """Runs on rank 0, which writes and prints. Data are read first: missing data leave no directory behind."""
    directory, device = experiment.directory, experiment.gpu.torch_device
    console = Console(experiment.progress)
    with ranks.together():
        check_ranks(experiment, ranks)
        is_shown = _is_shown(experiment)
        if not is_shown and is_locked(directory):
            raise RunIsLockedError(directory)
    if ranks.from_first(is_shown):
        return EXIT[show(directory, console, device)]
    with contextlib.ExitStack() as stack:
        with ranks.together():
            loggers = experiment.logger.listeners()
            pool = _load(experiment, ranks)
            store = stack.enter_context(RunStore(directory))
        if ranks.from_first(_is_shown(experiment)):  # another process computed it while this one was reading
            return EXIT[show(directory, console, device, store)]
        stack.enter_context(to_file(directory))
        return ranks.from_first(_compute(experiment, ranks, console, loggers, store, pool))


def _follow(experiment: Experiment, ranks: Ranks) -> int:
    """Runs on any other rank: computes its share, by the decisions of rank 0."""
    with ranks.together():
        check_ranks(experiment, ranks)
    if ranks.from_first(False):
        return EXIT["completed"]
    with ranks.together():
        pool = _load(experiment, ranks)
    if ranks.from_first(False):
        return EXIT["completed"]
    with stop_on_signal(lambda: None) as stopped:
        experiment.protocol.run(_context(experiment, SilentWriter(), [], pool, ranks, stopped))
        return ranks.from_first(EXIT["failed"])


def check_ranks(experiment: Experiment, ranks: Ranks) -> None:
    """Refuses more processes than can share the run. Raises ConfigError."""
    if ranks.count > 1:
        experiment.protocol.check_ranks(experiment.algo, ranks.count)
        with prefix_field_errors("gpu"):
            experiment.gpu.check_ranks(ranks.local_count)


def _load(experiment: Experiment, ranks: Ranks) -> Any:
    """Configures torch and reads the data."""
    keep_freed_memory()
    experiment.gpu.apply(ranks.local_rank)
    with _faults_logged():
        return experiment.protocol.load(experiment.data, experiment.seeds).to(experiment.gpu.torch_device)


def _compute(
    experiment: Experiment, ranks: Ranks, console: Console, loggers: Sequence[Listener], store: RunStore, pool: Any
) -> int:
    """Starts or continues the run, to its end."""
    earlier = earlier_run(store.directory)
    if earlier is not None and earlier.has_ended:
        store.clear()
    elif earlier is not None:
        warn_of_another_environment(
            earlier, experiment.gpu.torch_device, "it goes on all the same; remove its directory to start again"
        )
    store.write_config(experiment.to_yaml())
    environment = {**describe(experiment.gpu.torch_device), "ranks": ranks.count}
    head = {**_head(experiment), "environment": environment}
    with stop_on_signal(console.announce_stop) as stopped:
        try:
            with console, _faults_logged():
                context = _context(experiment, store, [console, *loggers], pool, ranks, stopped)
                result = _learn_or_evaluate(experiment, context)
        except KeyboardInterrupt:
            console.say("stopped at once: the same command goes on from the last checkpoint")
            raise
        except Exception as error:
            _failed(store, head, str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}")
            raise
        if result.status == "completed":
            store.drop_previous_checkpoint()
        with _faults_logged():
            computed = {"environment": {**environment, "kernels": result.kernels}}
            _close(store, {**head, **_results(experiment, result), **computed})
    return EXIT[result.status]


def _learn_or_evaluate(experiment: Experiment, context: RunContext[Any, Any, Any]) -> ProtocolResult:
    if experiment.trained is None:
        return cast(ProtocolResult, experiment.protocol.run(context))
    device = experiment.gpu.torch_device
    learner = tree_map(lambda leaf: leaf.to(device), learned_state(experiment.trained.directory))
    return cast(ProtocolResult, experiment.protocol.evaluate(context, learner))


def unit_name(experiment: Experiment) -> str:
    """The name of a unit of work: a trained learner is evaluated task by task."""
    return "evaluation" if experiment.trained is not None else str(experiment.protocol.unit_name)


def _is_shown(experiment: Experiment) -> bool:
    """Whether the run has ended before and is to be shown, not computed."""
    earlier = earlier_run(experiment.directory)
    return earlier is not None and earlier.has_ended and not experiment.rerun


def _close(store: RunStore, summary: dict[str, Any]) -> None:
    """Writes the summary, then draws figures and report from the files, then notifies the listeners."""
    store.finish(summary)
    run = StoredRun(store.directory)
    try:
        draw(run)
    finally:
        for listener in store.listeners:
            listener.finished(run)


def _failed(store: RunStore, head: dict[str, Any], message: str) -> None:
    """Writes a summary of a failed run. Its checkpoint stays, and the next start continues from it."""
    with contextlib.suppress(Exception):  # this runs while another error is on its way to the user
        log.info("failed: %s", message)
        _close(store, {**head, "status": "failed", "metrics": {}, "timing": {}, "warnings": [], "error": message})


@contextlib.contextmanager
def _faults_logged() -> Iterator[None]:
    """Logs the traceback of any exception but a user's mistake."""
    try:
        yield
    except UserError:
        raise
    except Exception:
        log.error("%s", traceback.format_exc())
        raise


def _context(
    experiment: Experiment,
    store: RunWriter,
    listeners: Sequence[Listener],
    pool: Any,
    ranks: Ranks,
    stopped: Callable[[], bool],
) -> RunContext[Any, Any, Any]:
    """The context of the run. A listener hears of the run, and of its end, once it has started."""

    def started(task_names: list[list[str]], first_unit: int, units_per_task: int, chance: float | None) -> None:
        if not isinstance(store, RunStore):  # rank 0 tells them
            return
        choices = experiment.choices
        info = RunInfo(
            run_id=experiment.run_id,
            directory=experiment.directory,
            algo=choices["algo"],
            model=choices["model"],
            data=choices["data"],
            protocol=choices["protocol"],
            protocol_kind=experiment.protocol.kind,
            seeds=experiment.seeds,
            task_names=task_names,
            units_per_task=units_per_task,
            unit_name=unit_name(experiment),
            evaluation_of=None if experiment.trained is None else experiment.trained.run_id,
            score=experiment.data.score.score_name,
            chance=chance,
            config=experiment.resolved,
            first_unit=first_unit,
            earlier=store.records(),
        )
        for listener in listeners:
            listener.started(info)
            store.listeners.append(listener)

    return RunContext(
        algo=experiment.algo,
        model=experiment.model,
        data=experiment.data,
        pool=pool,
        gpu=experiment.gpu,
        seeds=experiment.seeds,
        insight=experiment.insight,
        store=store,
        ranks=ranks,
        stop_requested=lambda: ranks.any(stopped()),
        started=started,
    )


def _head(experiment: Experiment) -> dict[str, Any]:
    """Returns the part of the summary that is known before the run."""
    choices = {group: experiment.choices[group] for group in ("algo", "model", "data", "protocol")}
    trained = experiment.trained
    origin = {} if trained is None else {"evaluation_of": {"run_id": trained.run_id, "directory": str(trained.directory)}}
    return {
        "schema": SCHEMA,
        "status": "running",
        "run_id": experiment.run_id,
        **choices,
        "protocol_kind": experiment.protocol.kind,
        "seeds": experiment.seeds,
        "eval_split": experiment.protocol.eval_split,
        "score": experiment.data.score.score_name,
        "command": experiment.command,
        "config": experiment.resolved,
        "without_effect": experiment.ignored_by_run_id,
        **origin,
    }


def _results(experiment: Experiment, result: ProtocolResult) -> dict[str, Any]:
    seconds = result.train_s + result.evaluate_s + result.insight_s
    objective = experiment.data.score

    def summarise(evaluations: Evaluations) -> dict[str, dict[str, Any]]:
        probes = evaluations.probes, result.probe_tasks
        return matrix_metrics.summarise(evaluations.matrix, *probes, objective, result.sizes, result.forward_transfer)

    reached = summarise(result.evaluations)
    reached |= {name: spread(values, possible_values(name, objective)) for name, values in result.extra_metrics.items()}
    half_widths = {"evaluation_half_width": result.evaluations.half_width.tolist()}
    if result.transductive is not None:
        reached |= {f"{TRANSDUCTIVE}{name}": metric for name, metric in summarise(result.transductive).items()}
        half_widths[f"{TRANSDUCTIVE}half_width"] = result.transductive.half_width.tolist()
    return {
        "status": result.status,
        "metrics": reached,
        "timing": {
            "wall_s": seconds,
            "train_s": result.train_s,
            "evaluate_s": result.evaluate_s,
            "insight_s": result.insight_s,
            "units": result.units,
            "units_per_s": result.units / result.train_s if result.train_s else None,
        },
        "peak_memory_mb": peak_memory_mb(experiment.gpu.torch_device),
        "memory_forecast": result.forecast,
        "task_names": result.task_names,
        "units_per_task": result.units_per_task,
        "unit_name": unit_name(experiment),
        "chance": result.chance,
        "forward_transfer": result.forward_transfer,
        **half_widths,
        "warnings": result.warnings,
        "error": result.error,
        **result.details,
    }

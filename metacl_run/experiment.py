"""The wiring of one run: open its directory, show or continue or start it, call the protocol, leave summary and report."""

from __future__ import annotations

import contextlib
import logging
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from metacl_run import metrics
from metacl_run.config import Experiment
from metacl_run.environment import describe
from metacl_run.errors import DataError, UserError, keyed
from metacl_run.files import storage_errors
from metacl_run.intervals import spread
from metacl_run.memory import keep_freed_memory, peak_memory_mb
from metacl_run.metric_table import TRANSDUCTIVE, possible_values
from metacl_run.protocols.base import Evaluations, Outcome, Run
from metacl_run.ranks import ALONE, Ranks
from metacl_run.reporting import figures, report
from metacl_run.tracking.archive import SCHEMA
from metacl_run.tracking.console import Console
from metacl_run.tracking.listener import RunInfo
from metacl_run.tracking.silent_store import SilentStore
from metacl_run.tracking.store import LOG, RunStore

EXIT = {"completed": 0, "failed": 1, "diverged": 3, "interrupted": 130}
log = logging.getLogger("metacl_run")


def run(experiment: Experiment, ranks: Ranks = ALONE) -> int:
    """Computes, continues or shows the run, and returns the exit status.

    Raises:
        UserError: data missing, nowhere to write, the run is being computed by someone else, too many processes for it.
    """
    with ranks.together():
        if ranks.count > 1:
            experiment.protocol.check_ranks(experiment.algo, ranks.count)
            with keyed("gpu"):
                experiment.gpu.check_ranks(ranks.local_count)
        return _lead(experiment, ranks) if ranks.leads else _follow(experiment, ranks)


def _lead(experiment: Experiment, ranks: Ranks) -> int:
    """The run on the one rank that writes and speaks."""
    directory = experiment.directory
    with RunStore(directory) as store, _run_log(directory):
        console = Console(experiment.progress, directory)
        known = store.summary()
        ended = known is not None and known["status"] in ("completed", "diverged")
        if known is not None and ended and not experiment.rerun:
            ranks.from_first(True)
            _warn_of_another_environment(experiment, known, "rerun=true computes it here")
            console.shown(known)
            return EXIT[known["status"]]
        ranks.from_first(False)
        if ended:
            store.clear()
        elif known is not None:
            _warn_of_another_environment(experiment, known, "it goes on all the same; remove its directory to start again")
        store.write_config(experiment.to_yaml())
        store.listeners = [console, *experiment.logger.listeners()]
        _set_up(experiment, ranks)
        environment = {**describe(experiment.gpu.torch_device), "ranks": ranks.count}
        head = {**_head(experiment), "environment": environment}
        with _stop_on_signal() as stopped:
            try:
                with console, ranks.together():
                    outcome = experiment.protocol.run(_run(experiment, store, ranks, stopped))
            except UserError as error:
                _failed(store, {**head, "data_missing": isinstance(error, DataError)}, str(error))
                raise
            except Exception as error:
                log.error("%s", traceback.format_exc())
                _failed(store, head, f"{type(error).__name__}: {error}")
                raise
        if outcome.status == "completed":
            store.drop_previous_checkpoint()
        _close(store, {**head, **_results(experiment, outcome)})
        return EXIT[outcome.status]


def _follow(experiment: Experiment, ranks: Ranks) -> int:
    """The run on any other: its share of the work. What is to be done, and how the run ended, rank 0 knows."""
    shown = ranks.from_first(False)
    if shown:
        return EXIT["completed"]
    _set_up(experiment, ranks)
    with _stop_on_signal() as stopped:
        return EXIT[experiment.protocol.run(_run(experiment, SilentStore(), ranks, stopped)).status]


def _set_up(experiment: Experiment, ranks: Ranks) -> None:
    keep_freed_memory()
    experiment.gpu.apply(ranks.local_rank)


def _close(store: RunStore, summary: dict[str, Any]) -> None:
    """Writes the summary first, then what is drawn from the files, then tells the listeners."""
    store.finish(summary)
    with storage_errors(store.directory):
        figures.draw(store.directory)
        report.write(store.directory)
    for listener in store.listeners:
        listener.finished(summary)


def _failed(store: RunStore, head: dict[str, Any], message: str) -> None:
    """Leaves a summary that says so; a checkpoint that stands is kept, and the next start goes on from it."""
    with contextlib.suppress(Exception):  # this runs while another error is on its way to the user
        _close(store, {**head, "status": "failed", "metrics": {}, "warnings": [], "error": message})


def _run(experiment: Experiment, store: RunStore | SilentStore, ranks: Ranks, stopped: Callable[[], bool]) -> Run:
    def started(task_names: list[list[str]], first_unit: int, units_per_task: int, chance: float | None) -> None:
        if isinstance(store, SilentStore):
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
            unit_name=experiment.protocol.unit_name,
            score=experiment.protocol.objective(experiment.data).score_name,
            chance=chance,
            config=experiment.resolved,
            first_unit=first_unit,
            earlier=store.records(),
        )
        for listener in store.listeners:
            listener.started(info)

    return Run(
        algo=experiment.algo,
        model=experiment.model,
        data=experiment.data,
        gpu=experiment.gpu,
        seeds=experiment.seeds,
        insight=experiment.insight,
        store=store,
        ranks=ranks,
        stop_requested=lambda: ranks.any(stopped()),
        started=started,
    )


def _warn_of_another_environment(experiment: Experiment, known: dict[str, Any], advice: str) -> None:
    """The run id follows the config; the code and the machine may have changed since all the same."""
    then, now = known.get("environment", {}), describe(experiment.gpu.torch_device)
    changed = [key for key in ("git_commit", "torch", "device") if then.get(key) != now[key]]
    if changed:
        log.warning("computed with another %s than there is now; %s", ", ".join(changed), advice)


def _head(experiment: Experiment) -> dict[str, Any]:
    """What a summary says of a run before it is run."""
    choices = {group: experiment.choices[group] for group in ("algo", "model", "data", "protocol")}
    return {
        "schema": SCHEMA,
        "status": "running",
        "run_id": experiment.run_id,
        **choices,
        "protocol_kind": experiment.protocol.kind,
        "seeds": experiment.seeds,
        "eval_split": experiment.protocol.eval_split,
        "score": experiment.protocol.objective(experiment.data).score_name,
        "command": shlex.join(["metacl-run", *experiment.overrides]),
        "config": experiment.resolved,
        "without_effect": experiment.without_effect,
    }


def _results(experiment: Experiment, outcome: Outcome) -> dict[str, Any]:
    seconds = outcome.train_s + outcome.evaluate_s + outcome.insight_s
    objective = experiment.protocol.objective(experiment.data)

    def summarise(found: Evaluations) -> dict[str, dict[str, Any]]:
        probes = found.probes, outcome.probe_tasks
        return metrics.summarise(found.matrix, *probes, objective, outcome.sizes, outcome.forward_transfer)

    reached = summarise(outcome.evaluations)
    reached |= {name: spread(values, possible_values(name, objective)) for name, values in outcome.also.items()}
    half_widths = {"evaluation_half_width": outcome.evaluations.half_width.tolist()}
    if outcome.transductive is not None:
        reached |= {f"{TRANSDUCTIVE}{name}": metric for name, metric in summarise(outcome.transductive).items()}
        half_widths[f"{TRANSDUCTIVE}half_width"] = outcome.transductive.half_width.tolist()
    return {
        "status": outcome.status,
        "metrics": reached,
        "timing": {
            "wall_s": seconds,
            "train_s": outcome.train_s,
            "evaluate_s": outcome.evaluate_s,
            "insight_s": outcome.insight_s,
            "units": outcome.units,
            "units_per_s": outcome.units / outcome.train_s if outcome.train_s else None,
        },
        "peak_memory_mb": peak_memory_mb(experiment.gpu.torch_device),
        "memory_forecast": outcome.forecast,
        "task_names": outcome.task_names,
        "units_per_task": outcome.units_per_task,
        "unit_name": experiment.protocol.unit_name,
        "chance": outcome.chance,
        **half_widths,
        "warnings": outcome.warnings,
        "error": outcome.error,
        **outcome.details,
    }


@contextlib.contextmanager
def _stop_on_signal() -> Iterator[Any]:
    """The first SIGINT or SIGTERM asks the loop to stop at the next unit; the second interrupts at once."""
    asked: list[int] = []

    def handler(number: int, frame: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        log.warning("stopping after this unit of work; once more to stop at once")

    before = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, handler)
    except ValueError:  # not the main thread: the launcher handles signals
        pass
    try:
        yield lambda: bool(asked)
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextlib.contextmanager
def _run_log(directory: Path) -> Iterator[None]:
    """Sends what is logged while the run lasts to run.log and, warnings only, to the terminal."""
    with storage_errors(directory):
        handlers: list[logging.Handler] = [logging.FileHandler(directory / LOG), logging.StreamHandler(sys.stderr)]
    handlers[0].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handlers[1].setLevel(logging.WARNING)
    for handler in handlers:
        log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()

"""The wiring of one run: opens its directory, shows, continues or starts it, calls the protocol, writes the report."""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch.utils._pytree import tree_map

from metacl_run.config.load import Experiment
from metacl_run.core.bounds import FigureStyle
from metacl_run.core.errors import (
    CaptureError,
    CardTooSmallError,
    OutOfMemoryError,
    RunIsLockedError,
    UserError,
    described,
    prefix_field_errors,
    shown,
)
from metacl_run.core.exit_status import COMPLETED, EXIT_STATUS, FAILED
from metacl_run.core.task_lengths import TaskLengths
from metacl_run.finished_run import draw, show, warn_of_another_environment
from metacl_run.index.index_page import refresh_index
from metacl_run.listeners.console import Console
from metacl_run.listeners.fault_tolerant import listeners_of
from metacl_run.protocols.protocol_result import ProtocolResult
from metacl_run.protocols.run_context import RunContext, Started
from metacl_run.run_summary import known_before, reached, unit_name
from metacl_run.runtime.environment import describe
from metacl_run.runtime.own_code import own_code
from metacl_run.runtime.process_memory import keep_freed_memory
from metacl_run.runtime.ranks import ALONE, Ranks
from metacl_run.runtime.stopping import stop_on_signal
from metacl_run.storage.listener import Listener, RunInfo
from metacl_run.storage.lock import is_locked
from metacl_run.storage.run_files import LOG, OWN_CODE
from metacl_run.storage.run_log import to_file, to_terminal
from metacl_run.storage.run_place import output_dir_of
from metacl_run.storage.run_state import changed_data, changed_modules, earlier_run
from metacl_run.storage.run_writer import RunWriter, SilentWriter
from metacl_run.storage.store import RunStore
from metacl_run.storage.stored_run import StoredRun
from metacl_run.trained_run import learned_state

INDEX_AGE_IN_SWEEPS = 60.0
"""Seconds between two index pages that the jobs of a sweep write: with thousands of runs one takes a second."""
log = logging.getLogger("metacl_run")


class Audience(NamedTuple):
    """The listeners of a run, and the sweep, search or table that they file it under."""

    console: Console
    loggers: list[Listener]
    group: str | None


def run(experiment: Experiment, ranks: Ranks = ALONE, group: str | None = None) -> int:
    """Computes, continues or shows the run, and returns the exit status.

    Args:
        experiment: the run.
        ranks: the processes that share it.
        group: the name of the sweep, search or table that it is a job of.

    Raises:
        UserError: data are missing, the directory cannot be written, another process computes the run, too many ranks.
    """
    with to_terminal():
        return _lead(experiment, ranks, group) if ranks.leads else _follow(experiment, ranks)


def _lead(experiment: Experiment, ranks: Ranks, group: str | None) -> int:
    """Runs on rank 0, which writes and prints. Data are read first: missing data leave no directory behind."""
    directory, device = experiment.directory, experiment.gpu.torch_device
    console, code = Console(experiment.progress), own_code(experiment.components)
    with ranks.together():
        check_ranks(experiment, ranks)
        is_shown = _is_shown(experiment)
        if not is_shown and is_locked(directory):
            raise RunIsLockedError(directory)
    if ranks.from_first(is_shown):
        return EXIT_STATUS[show(directory, console, device, code, experiment.figures_style)]
    with contextlib.ExitStack() as stack:
        # Last, when the run's lock is free.
        stack.callback(refresh_index, output_dir_of(directory), unless_younger=0 if group is None else INDEX_AGE_IN_SWEEPS)
        with ranks.together():
            loggers = listeners_of(experiment.logger)
            pool = _load(experiment, ranks)
            store = stack.enter_context(RunStore(directory))
        if ranks.from_first(_is_shown(experiment)):  # another process computed it while this one was reading
            return EXIT_STATUS[show(directory, console, device, code, experiment.figures_style, store)]
        stack.enter_context(to_file(directory))
        return ranks.from_first(_compute(experiment, ranks, Audience(console, loggers, group), store, pool, code))


def _follow(experiment: Experiment, ranks: Ranks) -> int:
    """Runs on any other rank: computes its share, by the decisions of rank 0."""
    with ranks.together():
        check_ranks(experiment, ranks)
    if ranks.from_first(False):
        return COMPLETED
    with ranks.together():
        pool = _load(experiment, ranks)
    if ranks.from_first(False):
        return COMPLETED
    with stop_on_signal(lambda: None) as stopped:
        experiment.protocol.run(
            _context(
                experiment, SilentWriter(), lambda *_, **__: None, pool, ranks, stopped, bool(own_code(experiment.components))
            )
        )
        return ranks.from_first(FAILED)


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
    experiment: Experiment, ranks: Ranks, audience: Audience, store: RunStore, pool: Any, code: Mapping[str, str]
) -> int:
    """Starts or continues the run, to its end."""
    console, contents = audience.console, experiment.data.source.contents()
    earlier = earlier_run(store.directory)
    if (earlier is not None and earlier.has_ended) or _begins_anew(experiment, store, code, contents):
        store.set_aside()
    elif earlier is not None:
        warn_of_another_environment(
            earlier, experiment.gpu.torch_device, "it goes on all the same; remove its directory to start again"
        )
    store.write_config(experiment.to_yaml())
    store.write_own_code(code)
    store.write_data(contents)
    environment = {**describe(experiment.gpu.torch_device), "ranks": ranks.count}
    head = {**known_before(experiment), "environment": environment}
    with stop_on_signal(console.announce_stop) as stopped:
        try:
            with console, _faults_logged(store.directory / LOG):
                start = _start(experiment, audience, store, environment)
                result = _learn_or_evaluate(experiment, _context(experiment, store, start, pool, ranks, stopped, bool(code)))
        except KeyboardInterrupt:
            console.say("stopped at once: the same command goes on from the last checkpoint")
            raise
        except CardTooSmallError:
            store.discard()
            raise
        except Exception as error:
            if not store.has_set_aside:
                message = str(error) if isinstance(error, UserError) else described(error)
                _failed(store, head, experiment.figures_style, message)
            raise
        if result.status == "completed":
            store.drop_previous_checkpoint()
        with _faults_logged(store.directory / LOG):
            computed = {"environment": {**environment, "kernels": result.kernels}}
            _close(store, {**head, **reached(experiment, result), **computed}, experiment.figures_style)
    return EXIT_STATUS[result.status]


def _begins_anew(experiment: Experiment, store: RunStore, code: Mapping[str, str], contents: Mapping[str, Any]) -> bool:
    """Whether an unfinished run has to begin anew, since its code or its data are others now. Raises UserError without
    `rerun`."""
    if not store.has_checkpoint:
        return False
    changed = changed_modules(store.directory, code)
    data = changed_data(store.directory, contents)
    if changed and not experiment.rerun:
        raise UserError(
            f"{store.directory}: {', '.join(changed)} was changed since this run began, and it would go on with other code. "
            f"rerun=true begins anew; {OWN_CODE} there has the code of the beginning"
        )
    if data is not None and not experiment.rerun:
        raise UserError(
            f"{store.directory}: the files of the data have changed since this run began ({data}), and it would go on with "
            "other examples. rerun=true begins anew"
        )
    return bool(changed) or data is not None


def _learn_or_evaluate(experiment: Experiment, context: RunContext[Any, Any, Any]) -> ProtocolResult:
    try:
        return _computed(experiment, context)
    except torch.OutOfMemoryError as error:
        log.info("%s", traceback.format_exc())
        gpu, remedy = experiment.gpu, experiment.protocol.memory_remedy
        own = f"; this one has gpu.chunk={shown(gpu.chunk)} and gpu.memory_gb={gpu.memory_bytes / 1e9:.3g}"
        raise OutOfMemoryError(
            f"the card's memory does not suffice ({shown(str(error).splitlines()[0])}). {remedy}, in a run of its own"
            f"{own if 'gpu.' in remedy else ''}. If another program took the memory, the same command goes on from the last "
            "checkpoint"
        ) from error
    except CaptureError as error:
        log.info("%s", traceback.format_exc())
        raise UserError(
            f"algo={experiment.choices['algo']}: a step cannot be captured as a CUDA graph: {error}. Use gpu.engine=vmap, "
            "which launches one operation after another; run.log has the traceback"
        ) from error


def _computed(experiment: Experiment, context: RunContext[Any, Any, Any]) -> ProtocolResult:
    if experiment.trained is None:
        return cast(ProtocolResult, experiment.protocol.run(context))
    device = experiment.gpu.torch_device
    learner = tree_map(lambda leaf: leaf.to(device), learned_state(experiment.trained.directory))
    return cast(ProtocolResult, experiment.protocol.evaluate(context, learner))


def _is_shown(experiment: Experiment) -> bool:
    """Whether the run has ended before and is to be shown, not computed."""
    earlier = earlier_run(experiment.directory)
    return earlier is not None and earlier.has_ended and not experiment.rerun


def _close(store: RunStore, summary: dict[str, Any], style: FigureStyle) -> None:
    """Writes the summary, then draws figures and report from the files, then notifies the listeners."""
    ended = datetime.now(timezone.utc).isoformat(timespec="seconds")
    store.finish({**summary, "timing": {**summary["timing"], "ended": ended}})
    run = StoredRun(store.directory)
    try:
        draw(run, style)
    except UserError:
        raise
    except Exception as error:  # the results stand, and so do the exit status and a sweep that waits for it
        log.warning("figures and report are not drawn: %s. The same command draws them", described(error))
        log.info("%s", traceback.format_exc())
    finally:
        for listener in reversed(store.listeners):  # the terminal last
            listener.finished(run)


def _failed(store: RunStore, head: dict[str, Any], style: FigureStyle, message: str) -> None:
    """Writes a summary of a failed run. Its checkpoint stays, and the next start continues from it."""
    with contextlib.suppress(Exception):  # this runs while another error is on its way to the user
        log.info("failed: %s", message)
        _close(store, {**head, "status": "failed", "metrics": {}, "timing": {}, "warnings": [], "error": message}, style)


@contextlib.contextmanager
def _faults_logged(file: Path | None = None) -> Iterator[None]:
    """Logs the traceback of any exception but a user's mistake; if the log has a `file`, the terminal shows its path alone."""
    try:
        yield
    except UserError:
        raise
    except Exception:
        log.log(logging.ERROR if file is None else logging.INFO, "%s", traceback.format_exc())
        if file is not None:
            log.error("the traceback is in %s", file)
        raise


def _start(experiment: Experiment, audience: Audience, store: RunStore, environment: Mapping[str, Any]) -> Started:
    """Returns the function that starts the listeners. A listener that has not started receives nothing, not even the end."""

    def start(
        task_names: list[list[str]],
        first_unit: int,
        units_per_task: int,
        chance: float | None,
        task_units: TaskLengths | None = None,
        *,
        warnings: Sequence[str],
    ) -> None:
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
            task_units=task_units,
            unit_name=unit_name(experiment),
            evaluation_of=None if experiment.trained is None else experiment.trained.run_id,
            score=experiment.data.score.score_name,
            chance=chance,
            config=experiment.resolved,
            without_effect=experiment.ignored_by_run_id,
            environment=environment,
            tags=experiment.tags,
            group=audience.group,
            first_unit=first_unit,
            say=audience.console.say,
            earlier=store.records(),
            warnings=[*experiment.warnings, *warnings],
        )
        for listener in (audience.console, *audience.loggers):
            listener.started(info)
            store.listeners.append(listener)
        store.drop_set_aside()

    return start


def _context(
    experiment: Experiment,
    store: RunWriter,
    start: Started,
    pool: Any,
    ranks: Ranks,
    stopped: Callable[[], bool],
    checks_code: bool,
) -> RunContext[Any, Any, Any]:
    return RunContext(
        algo=experiment.algo,
        model=experiment.starting_model,
        data=experiment.data,
        pool=pool,
        gpu=experiment.gpu,
        seeds=experiment.seeds,
        insight=experiment.insight,
        store=store,
        ranks=ranks,
        stop_requested=lambda: ranks.any(stopped()),
        started=start,
        checks_code=checks_code,
        run_outputs=None if experiment.trained is None else experiment.trained.outputs,
    )

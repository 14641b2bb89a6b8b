"""Runs one job in a process of its own: what kills it kills nothing else, and the next job starts in a clean process.

The processes are forked from a server that has imported torch once. A job whose sweep is killed stops as if
asked to: its checkpoint is written, and the same command continues from it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from metacl_run.config.compose import experiment_of
from metacl_run.core.errors import ConfigError, DataError, RunIsLockedError, UserError, described
from metacl_run.core.exit_status import COMPLETED, FAILED, INTERRUPTED
from metacl_run.core.output import any_letter_printed
from metacl_run.sweeps.gpus import one_gpu
from metacl_run.sweeps.job import BUSY, JobResult

POLL_S = 0.3
"""Seconds between two looks at a job."""
SERVER_GONE = 255
"""The exit status that multiprocessing gives for a process whose server is gone."""
OUTPUT = "output.log"
"""In the run's directory: the output of a job without a terminal of its own."""


def compute(
    overrides: Sequence[str],
    directory: Path,
    user_folder: str | None,
    *,
    group: str | None = None,
    shares_terminal: bool,
    should_stop: Callable[[], bool] = lambda: False,
) -> JobResult:
    """Runs a job in a process of its own, on one GPU. What it prints without our terminal goes into its directory; loggers file
    it under `group`."""
    output = None if shares_terminal else directory / OUTPUT
    with one_gpu() as environment:
        result = run_in_process(
            overrides, directory, user_folder, group=group, environment=environment, output=output, should_stop=should_stop
        )
    if result.data_missing and output is not None:
        with contextlib.suppress(OSError):  # a run that had been begun before keeps its directory
            output.unlink()
            directory.rmdir()
    return result


def run_in_process(
    overrides: Sequence[str],
    directory: Path,
    user_folder: str | None,
    *,
    group: str | None = None,
    environment: dict[str, str],
    output: Path | None,
    should_stop: Callable[[], bool] = lambda: False,
) -> JobResult:
    """Runs a job and waits for it. SIGINT and SIGTERM are forwarded to it.

    Args:
        overrides, user_folder: the job.
        directory: of its run, as planned.
        group: the name under which loggers file it.
        environment: variables that are set in its process.
        output: the file for what it prints; None: it shares our terminal.
        should_stop: called again and again; once it is true, the job is asked to stop.
    """
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    # A worker of joblib has a start method of its own, which our process could not find.
    multiprocessing.set_start_method(method, force=True)
    context: Any = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(["metacl_run.sweeps.preload"])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(
        target=_job_main, args=(sender, list(overrides), directory, user_folder, group, environment, output)
    )
    process.start()
    sender.close()
    stop_sent = False
    with _forwarded_signals(process.pid) as signals:
        try:
            while not _has_ended(process, receiver):
                if not stop_sent and should_stop():
                    _stop(process.pid)
                    stop_sent = True
        except BaseException:  # no job goes on computing without the process that started it
            _stop(process.pid)
            raise
    return _receive_result(process, receiver, interrupted=bool(signals))


def _has_ended(process: Any, receiver: Connection) -> bool:
    """Whether the job has ended, after a moment's wait. It holds the other end of our pipe as long as it lives; multiprocessing
    reports status 255 for the process as soon as the server that forked it is gone."""
    return receiver.poll(POLL_S) or (not process.is_alive() and process.exitcode != SERVER_GONE)


def _receive_result(process: Any, receiver: Connection, *, interrupted: bool) -> JobResult:
    try:
        result: JobResult | None = receiver.recv() if receiver.poll() else None
    except EOFError:
        result = None
    process.join()
    result = result or _result_of_killed(process.exitcode)
    return JobResult(INTERRUPTED, sweep_stopped=True) if interrupted and result.status != COMPLETED else result


def _result_of_killed(code: int | None) -> JobResult:
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in {known.value for known in signal.Signals} else str(-code)
        hint = " (out of memory?)" if code == -signal.SIGKILL else ""
        return JobResult(FAILED, f"its process was killed by {name}{hint}")
    if code == SERVER_GONE:
        return JobResult(FAILED, "its process was killed, and so was the server that had started it (out of memory?)")
    return JobResult(FAILED, f"its process ended with status {code}")


def _stop(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


@contextlib.contextmanager
def _forwarded_signals(pid: int) -> Iterator[list[int]]:
    """Forwards SIGINT and SIGTERM to the process while inside; yields the list of those received."""
    received: list[int] = []

    def handler(number: int, frame: Any) -> None:
        received.append(number)
        _stop(pid)

    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, old in before.items():
            signal.signal(number, old)


# ----------------------------------------------------------------------------------------------------- in the job's process


@any_letter_printed()
def _job_main(
    sender: Connection,
    overrides: list[str],
    directory: Path,
    user_folder: str | None,
    group: str | None,
    environment: dict[str, str],
    output: Path | None,
) -> None:
    if sys.platform != "win32":
        os.setpgid(0, 0)  # a Ctrl-C at the terminal is the sweep's, which forwards it once
    os.environ.update(environment)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        for standard in (1, 2):
            os.dup2(descriptor, standard)
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    result = run_here(overrides, directory, user_folder, group)
    sys.stdout.flush()
    with contextlib.suppress(BrokenPipeError):  # the sweep is gone
        sender.send(result)
    sender.close()


def run_here(overrides: Sequence[str], directory: Path, user_folder: str | None, group: str | None = None) -> JobResult:
    """Runs a job in this process, and prints its mistake or fault. One that is not the run of its planned directory any more is
    not begun."""
    from metacl_run.experiment import run

    try:
        experiment = experiment_of(overrides, user_folder)
        if experiment.run_id != directory.name:
            raise ConfigError(
                f"{directory}: its options have changed since it was planned, so that this would be run {experiment.run_id}; "
                "give the command again"
            )
        return JobResult(run(experiment, group=group))
    except RunIsLockedError as error:
        return JobResult(BUSY, str(error))
    except UserError as error:
        print(f"metacl-run: {error}", file=sys.stderr)
        return JobResult(FAILED, str(error), data_missing=isinstance(error, DataError))
    except KeyboardInterrupt:
        return JobResult(INTERRUPTED)
    except Exception as error:  # a fault of ours; its traceback is in run.log and has been printed
        print(f"metacl-run: {described(error)}", file=sys.stderr)
        return JobResult(FAILED, described(error))


def _stop_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

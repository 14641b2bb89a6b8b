"""One job in a process of its own: what kills it kills nothing else, and the next starts in a clean one.

The processes are forked from a server that has imported torch once. A job whose sweep is killed notices, and stops as if asked
to: its checkpoint is written and the same command goes on with it.
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
from metacl_run.core.errors import DataError, RunIsLockedError, UserError
from metacl_run.sweeps.job import BUSY, COMPLETED, FAILED, INTERRUPTED, Ended

LOOK_EVERY = 0.3
"""Seconds between two looks at a job that is watched."""
SERVER_GONE = 255
"""What multiprocessing gives as the exit status of a process whose server is gone."""
OUTPUT = "output.log"
"""In the run's directory: what a job printed that had no terminal of its own."""


def run(
    overrides: Sequence[str],
    user_folder: str | None,
    *,
    environment: dict[str, str],
    output: Path | None,
    watch: Callable[[], bool] = lambda: False,
) -> Ended:
    """Runs a job and waits for it. SIGINT and SIGTERM are passed on to it.

    Args:
        overrides, user_folder: the job.
        environment: set in its process.
        output: a file for what it prints; None: it shares our terminal.
        watch: looked at all along; once it is true, the job is asked to stop.
    """
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    # A worker of joblib has a start method of its own, which our process could not find.
    multiprocessing.set_start_method(method, force=True)
    context: Any = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(["metacl_run.sweeps.preload"])
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_job, args=(theirs, list(overrides), user_folder, environment, output))
    process.start()
    theirs.close()
    asked = False
    with _passed_on(process.pid) as interrupted:
        try:
            while not _has_ended(process, ours):
                if not asked and watch():
                    _stop(process.pid)
                    asked = True
        except BaseException:  # no job goes on computing without whoever started it
            _stop(process.pid)
            raise
    return _ending(process, ours, interrupted=bool(interrupted))


def _has_ended(process: Any, ours: Connection) -> bool:
    """Whether the job has, after a moment's wait. It holds the other end of our pipe as long as it lives; of the
    process, multiprocessing says status 255 as soon as the server that forked it is gone."""
    return ours.poll(LOOK_EVERY) or (not process.is_alive() and process.exitcode != SERVER_GONE)


def _ending(process: Any, ours: Connection, *, interrupted: bool) -> Ended:
    try:
        ended = ours.recv() if ours.poll() else None
    except EOFError:
        ended = None
    process.join()
    ended = ended or _killed(process.exitcode)
    return Ended(INTERRUPTED, sweep_stopped=True) if interrupted and ended.status != COMPLETED else ended


def _killed(code: int | None) -> Ended:
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in {each.value for each in signal.Signals} else str(-code)
        hint = " (out of memory?)" if code == -signal.SIGKILL else ""
        return Ended(FAILED, f"its process was killed by {name}{hint}")
    if code == SERVER_GONE:
        return Ended(FAILED, "its process was killed, and so was the server that had started it (out of memory?)")
    return Ended(FAILED, f"its process ended with status {code}")


def _stop(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


@contextlib.contextmanager
def _passed_on(pid: int) -> Iterator[list[int]]:
    """Passes SIGINT and SIGTERM on to the process while inside; the list has those that came."""
    came: list[int] = []

    def handler(number: int, frame: Any) -> None:
        came.append(number)
        _stop(pid)

    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, old in before.items():
            signal.signal(number, old)


# ----------------------------------------------------------------------------------------------------- in the job's process


def _job(
    answer: Connection, overrides: list[str], user_folder: str | None, environment: dict[str, str], output: Path | None
) -> None:
    os.setpgid(0, 0)  # a Ctrl-C at the terminal is the sweep's, which passes it on once
    os.environ.update(environment)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for standard in (1, 2):
            os.dup2(descriptor, standard)
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    ended = outcome(overrides, user_folder)
    sys.stdout.flush()
    with contextlib.suppress(BrokenPipeError):  # the sweep is gone, and has nobody to tell
        answer.send(ended)
    answer.close()


def outcome(overrides: Sequence[str], user_folder: str | None) -> Ended:
    """Runs a job here and now, and says its mistake or fault."""
    from metacl_run.experiment import run as run_experiment

    try:
        return Ended(run_experiment(experiment_of(overrides, user_folder)))
    except RunIsLockedError as error:
        return Ended(BUSY, str(error))
    except UserError as error:
        print(f"metacl-run: {error}", file=sys.stderr)
        return Ended(FAILED, str(error), data_missing=isinstance(error, DataError))
    except KeyboardInterrupt:
        return Ended(INTERRUPTED)
    except Exception as error:  # a fault of ours; its traceback is in run.log and has been printed
        print(f"metacl-run: {type(error).__name__}: {error}", file=sys.stderr)
        return Ended(FAILED, f"{type(error).__name__}: {error}")


def _stop_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

"""`metacl-run` as a process of its own, without the seconds that importing torch takes each time.

Processes are forked from a server that has imported the package and done nothing else. What a process is for these tests is
all there: arguments, folder, environment, output, signals, exit status. What a fresh interpreter alone shows (what is imported,
what a wheel holds, torchrun) is tested with `subprocess`.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

PRELOADED = ("metacl_run.cli", "metacl_run.experiment", "torch._dynamo", "wandb")
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "COLUMNS": "200"}
TIMEOUT_S = 240.0
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(list(PRELOADED))
_numbers = itertools.count()


class Command:
    """A command that runs; its output goes to files in a hidden folder of `cwd`."""

    def __init__(self, *arguments: str, cwd: Path, environment: Mapping[str, str] | None = None) -> None:
        self.arguments = list(arguments)
        folder = cwd / ".output"
        folder.mkdir(exist_ok=True)
        number = next(_numbers)
        self._out, self._err = folder / f"{number}.out", folder / f"{number}.err"
        self._out.touch()
        self._err.touch()
        given = {**ENVIRONMENT, **(environment or {})}
        self._process = _context.Process(target=_main, args=(self.arguments, str(cwd), given, str(self._out), str(self._err)))
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def stdout(self) -> str:
        """What it has printed so far."""
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        return self._err.read_text()

    @property
    def returncode(self) -> int | None:
        """None while it runs; minus the signal that ended it."""
        return self._process.exitcode

    def wait(self, timeout: float = TIMEOUT_S) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            self._process.kill()
            raise subprocess.TimeoutExpired(self.arguments, timeout, self.stdout, self.stderr)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()


def run_command(*arguments: str, cwd: Path, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    command = Command(*arguments, cwd=cwd, environment=environment)
    status = command.wait()
    return subprocess.CompletedProcess(command.arguments, status, command.stdout, command.stderr)


def _main(arguments: list[str], folder: str, environment: dict[str, str], out: str, err: str) -> None:
    """In the new process: as `python -m metacl_run` would be started from a shell."""
    for stream, path in ((1, out), (2, err)):
        opened = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(opened, stream)
        os.close(opened)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(0, closefd=False),
        os.fdopen(1, "w", closefd=False),
        os.fdopen(2, "w", buffering=1, closefd=False),
    )
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    os.environ.update(environment)
    sys.argv = ["metacl-run", *arguments]
    from metacl_run.cli import main

    status: object = 0
    try:
        main()
    except SystemExit as ended:
        status = ended.code
    except BaseException:
        traceback.print_exc()
        status = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status if isinstance(status, int) else 0 if status is None else 1)

"""`metacl-run` as a process of its own, without the seconds that importing torch takes each time.

Processes are forked from a server that has imported the package and done nothing else. What a process is for these tests is
all there: arguments, folder, environment, output, signals, exit status. What a fresh interpreter alone shows (what is imported,
what a wheel holds, torchrun) is tested with `subprocess`.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
import weakref
from collections.abc import Mapping
from pathlib import Path

PRELOADED = ("metacl_run.cli", "metacl_run.experiment", "torch._dynamo", "wandb")
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "COLUMNS": "200"}
PROGRAM = "from metacl_run.cli import main; main()"
TIMEOUT_S = 240.0
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # of the server: torch reads it once, when it is loaded
FORKSERVER = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload(list(PRELOADED))


class Command:
    """A command that runs.

    Args:
        arguments: after `metacl-run`.
        cwd: the folder it runs in.
        environment: variables besides this process's.
        program: what is executed in place of the command line, with the arguments in `sys.argv`.
    """

    def __init__(
        self, *arguments: str, cwd: Path, environment: Mapping[str, str] | None = None, program: str = PROGRAM
    ) -> None:
        self.arguments = list(arguments)
        folder = Path(tempfile.mkdtemp())
        weakref.finalize(self, shutil.rmtree, folder)
        self._out, self._err = folder / "out", folder / "err"
        self._out.touch()
        self._err.touch()
        given = {**ENVIRONMENT, **(environment or {})}
        self._process = FORKSERVER.Process(
            target=_main, args=(program, self.arguments, str(cwd), given, str(self._out), str(self._err))
        )
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

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()


def run_command(
    *arguments: str, cwd: Path, environment: Mapping[str, str] | None = None, program: str = PROGRAM
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    command = Command(*arguments, cwd=cwd, environment=environment, program=program)
    status = command.wait()
    return subprocess.CompletedProcess(command.arguments, status, command.stdout, command.stderr)


def _main(program: str, arguments: list[str], folder: str, environment: dict[str, str], out: str, err: str) -> None:
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
    status: object = 0
    try:
        exec(program, {"__name__": "__main__"})
    except SystemExit as ended:
        status = ended.code
    except BaseException:
        traceback.print_exc()
        status = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status if isinstance(status, int) else 0 if status is None else 1)

"""Processes that each hold one object and call its methods on request, all at the same time.

They are programs of their own (`worker`), not forks: a fork of a process with threads and a CUDA context may hang, and a
process that multiprocessing spawns runs the user's script again.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from metacl_run.core.errors import SimulatorError, shown

PROGRAM = Path(__file__).with_name("worker.py")
FEWER = "Fewer processes need less memory: data.processes=1"


def cores() -> int:
    """Processor cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    return len(affinity(0)) if affinity else os.cpu_count() or 1


class Workers:
    """A number of such processes. They start at the first request and end with this object, or with the run.

    Args:
        make, arguments: a function of a module and what it is called with, once in every process; it returns the object.
        count: processes.
        timeout_s: seconds after which a process that does not answer is taken to hang.
    """

    def __init__(self, make: Callable[..., Any], arguments: Sequence[Any], *, count: int, timeout_s: float) -> None:
        self.count, self._timeout_s, self._made_by = count, timeout_s, (make, tuple(arguments))
        self._processes: list[_Process] = []
        self._answers: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()

    @property
    def idle(self) -> list[int]:
        """Numbers of the processes that have nothing to do."""
        return [number for number, process in enumerate(self._started()) if process.asked_at is None]

    def ask(self, number: int, method: str, *arguments: Any) -> None:
        """Sends a request to an idle process."""
        process = self._started()[number]
        assert process.asked_at is None, "one request at a time: more of them could fill the pipe and block"
        process.send((method, arguments))

    def answer(self) -> tuple[int, Any]:
        """Waits for the next answer. Returns it with the number of its process.

        Raises:
            SimulatorError: an exception in the process, or it has died or hangs; then all of them are ended, and the next
                request starts new ones.
        """
        try:
            while True:
                number, answer = self._next()
                process = self._processes[number]
                if process.is_new:
                    process.is_new = False
                else:
                    process.asked_at = None
                    return number, answer
        except BaseException:
            self.end()
            raise

    def answers(self, method: str, requests: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        """Calls a method of whichever is idle with each of some arguments. Yields the place of a request and its answer as they
        come. Raises as `answer`."""
        to_come, places = list(reversed(list(enumerate(requests)))), dict[int, int]()
        while to_come or places:
            for process in self.idle:
                if to_come:
                    places[process], arguments = to_come.pop()
                    self.ask(process, method, *arguments)
            process, answer = self.answer()
            yield places.pop(process), answer

    def end(self) -> None:
        """Ends the processes."""
        for process in self._processes:
            process.end()
        self._processes.clear()
        self._answers = queue.SimpleQueue()

    def _started(self) -> list[_Process]:
        if not self._processes:
            self._processes = [_Process(number, self._answers) for number in range(self.count)]
            for process in self._processes:
                process.send(self._made_by)
                process.asked_at = None
        return self._processes

    def _next(self) -> tuple[int, Any]:
        """The next answer as it comes; the first of a process only says that its object is made."""
        since = min(process.asked_at for process in self._processes if process.asked_at is not None)
        try:
            number, content = self._answers.get(timeout=max(0.0, since + self._timeout_s - time.monotonic()))
        except queue.Empty:
            seconds = f"{self._timeout_s:g} s"
            raise SimulatorError(
                f"a process that simulates has not answered for {seconds} and was ended. On a slow or busy machine: "
                f"data.timeout={2 * self._timeout_s:g}"
            ) from None
        if content is None:
            raise SimulatorError(self._processes[number].death())
        message, answer = content
        if message is not None:
            raise SimulatorError(message)
        return number, answer


class _Process:
    """One process, and the thread that reads its answers into a queue: (number, answer), or (number, None) at its end."""

    def __init__(self, number: int, answers: queue.SimpleQueue[tuple[int, Any]]) -> None:
        self.asked_at: float | None = None
        """When the request was sent that it has not answered yet."""
        self.is_new = True
        """Whether its object is not made yet."""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  it is closed with the process
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM)],  # with -m, files of the working folder would come before ours
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests = self._process.stdin
        self.end = weakref.finalize(self, _end, self._process, self._errors)
        threading.Thread(target=_read, args=(number, self._process.stdout, answers), daemon=True).start()
        self._write(sys.path)

    def send(self, request: tuple[Any, Any]) -> None:
        self.asked_at = time.monotonic()
        self._write(request)

    def _write(self, content: Any) -> None:
        with contextlib.suppress(OSError):  # it has died: its end is among the answers
            pickle.dump(content, self._requests, protocol=pickle.HIGHEST_PROTOCOL)
            self._requests.flush()

    def death(self) -> str:
        """Says how it ended, with the last line that it wrote."""
        status = self._process.wait()
        if status < 0:
            names = {known.value: known.name for known in signal.Signals}
            how = f"was killed by {names.get(-status, -status)}"
            return f"a process that simulates {how}{f' (out of memory?). {FEWER}' if status == -signal.SIGKILL else ''}"
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "it says nothing")
        return f"a process that simulates ended with status {status}: {shown(last)}"


def _end(process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
    process.kill()
    process.wait()
    errors.close()
    assert process.stdin is not None
    with contextlib.suppress(OSError):  # it has not read everything
        process.stdin.close()


def _read(number: int, stream: IO[bytes], answers: queue.SimpleQueue[tuple[int, Any]]) -> None:
    """Passes answers on until there are no more."""
    with stream:
        try:
            while True:
                answers.put((number, pickle.load(stream)))
        except Exception:  # the end, or what died in the middle of an answer
            answers.put((number, None))

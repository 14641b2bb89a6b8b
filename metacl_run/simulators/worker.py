"""The program of a process that answers requests, started by `workers`. It imports no torch.

Pickles come in on standard input: sys.path, a function and its arguments that make an object, then calls of its methods.
Pickles go out on standard output: (None, answer), or (message, None) for an exception. What a simulator prints goes to standard
error. The process ends with its input, so that none outlives the one that started it.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import warnings
from typing import Any, BinaryIO

from metacl_run.core.errors import UserError, described


def main() -> None:
    """Answers until there are no more requests."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C at the terminal is for the run, which ends in its own time
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    sys.path[:] = pickle.load(requests)
    target: Any = None
    while True:
        try:
            function, arguments = pickle.load(requests)
        except EOFError:
            return
        try:
            if target is None:
                target, answer = function(*arguments), None
            else:
                answer = getattr(target, function)(*arguments)
        except UserError as error:
            _send(answers, (str(error), None))
        except Exception as error:
            _send(answers, (described(error), None))
        else:
            _send(answers, (None, answer))


def _send(answers: BinaryIO, answer: tuple[str | None, Any]) -> None:
    pickle.dump(answer, answers, protocol=pickle.HIGHEST_PROTOCOL)
    answers.flush()


if __name__ == "__main__":
    main()

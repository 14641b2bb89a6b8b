"""Ranks: several processes that compute one run together, started by torchrun or anything that sets the same variables.

Every rank makes the same calls on the same state; the meta-batch is shared out (`inner/shards.py`). Rank 0 alone writes and
speaks: it holds the run's lock and decides whether there is anything to compute and from where; the others ask it.

An error on one rank must leave no other waiting. What it said is noted where all can read it, and its process ends, which
breaks the collective that the others are in: they look for the note. Imports no torch in a process that is alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from metacl_run.core.errors import GONE, ConfigError, LostRankError, UserError

if TYPE_CHECKING:
    from metacl_run.inner.shards import Shards

T = TypeVar("T")
FAILED, ENDED, LEFT = "failed", "ended", "left"
"""Names of notes: {"rank", "interrupted", "message"} of the first error; rank 0's exit status; that a rank has read it."""
END_S, FAILURE_S = 600.0, 10.0
"""Seconds that others wait for rank 0: to finish its files at the end, and to say an error that all may have had."""
GRACE_S = 2.0
"""Seconds that rank 0, where the notes go with it, waits after an error for those that have had it too."""
LOOK_S = 0.02


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process among those that compute the run.

    Attributes:
        rank, count: of all.
        local_rank, local_count: of those on this machine.
        notes: torch's key-value store that all can reach; None when alone.
    """

    rank: int
    count: int
    local_rank: int
    local_count: int
    notes: Any = None

    @property
    def leads(self) -> bool:
        """Whether this is the rank that writes and speaks."""
        return self.rank == 0

    @property
    def shards(self) -> Shards:
        """Which part of a batch is computed here."""
        from metacl_run.inner.shards import Shards

        return Shards(rank=self.rank, count=self.count)

    def from_first(self, value: T) -> T:
        """Rank 0's value, on every rank: builtins and CPU tensors, nested, and what pickles besides.

        Raises:
            LostRankError: another rank is gone.
        """
        if self.count == 1:
            return value
        import torch.distributed as dist

        held = [value]
        try:
            dist.broadcast_object_list(held, src=0)
        except RuntimeError as error:
            raise LostRankError(GONE) from error
        return held[0]

    def any(self, flag: bool) -> bool:
        """Whether it is true on any rank; raises LostRankError."""
        if self.count == 1:
            return flag
        import torch

        from metacl_run.inner.shards import sum_over_ranks

        return bool(sum_over_ranks(torch.tensor(int(flag))))

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """An error in here is noted for the others; one that comes of another rank's error says what that was.

        Raises:
            LostRankError: another rank is gone.
            KeyboardInterrupt: another rank was interrupted at once.
        """
        try:
            yield
        except LostRankError as error:
            self._outlive_the_launcher()
            self._note(error)
            noted = self._noted()
            if noted is not None and noted["rank"] != self.rank:
                if noted["interrupted"]:
                    raise KeyboardInterrupt from None
                raise LostRankError(f"rank {noted['rank']}: {noted['message']}") from None
            raise
        except SystemExit:
            raise
        except BaseException as error:
            if self.count > 1:
                self._note(error)
                self._say_unless_the_first_does(error)
            raise

    # ----------------------------------------------------------------------------------------------------------- the notes

    def _note(self, error: BaseException) -> None:
        """Leaves the error for the others, if it is the first of all."""
        message = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        note = {"rank": self.rank, "interrupted": isinstance(error, KeyboardInterrupt), "message": message}
        with contextlib.suppress(RuntimeError):  # the store went with the process that kept it
            self.notes.compare_set(FAILED, "", json.dumps(note))

    def _noted(self) -> dict[str, Any] | None:
        """The first error of any rank."""
        with contextlib.suppress(RuntimeError):
            if self.notes.check([FAILED]):
                return json.loads(self.notes.get(FAILED))
        return None

    def _wait_for(self, note: str, seconds: float) -> str | None:
        """The note once it is there, None where it does not come; with 0 seconds, as it is now."""
        until = time.monotonic() + seconds
        with contextlib.suppress(RuntimeError):
            while not self.notes.check([note]):
                if time.monotonic() >= until:
                    return None
                time.sleep(LOOK_S)
            return self.notes.get(note).decode()
        return None

    def _say_unless_the_first_does(self, error: BaseException) -> None:
        """An error that every rank has, such as data that are nowhere, is said by rank 0; what only this one has, here."""
        if self.leads or isinstance(error, KeyboardInterrupt):
            return
        self._outlive_the_launcher()
        if self._wait_for(ENDED, FAILURE_S) is None:
            said = str(error) if isinstance(error, UserError) else "".join(traceback.format_exception(error)).strip()
            print(f"metacl-run, rank {self.rank}: {said}", file=sys.__stderr__, flush=True)

    # ---------------------------------------------------------------------------------------------------------- the end

    @staticmethod
    def _outlive_the_launcher() -> None:
        """A launcher terminates what is left when one process has ended; what the others are writing is finished first."""
        with contextlib.suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def leave(self, status: int) -> NoReturn:
        """Ends the conversation and the process, with the exit status of rank 0."""
        import torch.distributed as dist

        self._outlive_the_launcher()
        noted = self._noted()
        if self.leads:
            with contextlib.suppress(RuntimeError):
                self.notes.set(ENDED, str(status))
            if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":  # else torchrun keeps the notes
                until = time.monotonic() + (FAILURE_S if noted is None else GRACE_S)
                for other in range(1, self.count):
                    self._wait_for(f"{LEFT}/{other}", until - time.monotonic())
        else:
            patience = END_S if noted is None else 0.0 if noted["rank"] == self.rank else FAILURE_S
            ended = self._wait_for(ENDED, patience)
            status = (status or 1) if ended is None else int(ended)
            with contextlib.suppress(RuntimeError):
                self.notes.set(f"{LEFT}/{self.rank}", "")
        if noted is None:  # else it might wait for a rank that is gone
            dist.destroy_process_group()
            if self.leads:
                sys.exit(status)
        # Threads of a group that broke may still be at work: the interpreter's own way out can abort the process over them.
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


ALONE = Ranks(rank=0, count=1, local_rank=0, local_count=1)
"""A process that computes a run itself."""


@contextlib.contextmanager
def joined() -> Iterator[Ranks]:
    """The ranks of this run. Afterwards every one of them exits, with the status that rank 0 had; others than 0 are silent.
    Where no launcher has set WORLD_SIZE, or to 1, it does nothing.

    Raises:
        ConfigError: the launcher's variables do not make sense.
        LostRankError: the other ranks cannot be reached.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield ALONE
        return
    ranks, status = _join(), 0
    with open(os.devnull, "w") as nowhere, contextlib.ExitStack() as silence:
        if not ranks.leads:
            silence.enter_context(contextlib.redirect_stdout(nowhere))
            silence.enter_context(contextlib.redirect_stderr(nowhere))
        try:
            with ranks.together():
                yield ranks
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else int(error.code is not None)
        except BaseException:
            traceback.print_exc()
            status = 1
        ranks.leave(status)


def _join() -> Ranks:
    count = _from_launcher("WORLD_SIZE", 1, None)
    rank = _from_launcher("RANK", 0, count - 1)
    local_count = _from_launcher("LOCAL_WORLD_SIZE", 1, count, default=count)
    local_rank = _from_launcher("LOCAL_RANK", 0, local_count - 1, default=rank)
    if rank > 0:
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # read by torch as it is imported
    import torch
    import torch.distributed as dist

    try:
        store, _, _ = next(dist.rendezvous("env://", rank, count))
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=count)
    except (RuntimeError, ValueError) as error:
        raise LostRankError(f"the other {count - 1} processes of this run cannot be reached: {error}") from None
    notes = dist.PrefixStore("metacl_run", store)
    return Ranks(rank=rank, count=count, local_rank=local_rank, local_count=local_count, notes=notes)


def _from_launcher(name: str, least: int, most: int | None, default: int | None = None) -> int:
    """A whole number that the launcher has put into the environment."""
    text = os.environ.get(name)
    if text is None and default is not None:
        return default
    if text is None or not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
        allowed = f"from {least} to {most}" if most is not None else f"from {least}"
        raise ConfigError(
            f"{name}={'' if text is None else text}: with WORLD_SIZE set, it must be a whole number {allowed}. Start several "
            "processes with torchrun --nproc_per_node=2 -m metacl_run ..., or unset WORLD_SIZE."
        )
    return int(text)

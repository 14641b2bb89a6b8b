"""Joins the processes that torchrun or another launcher has started. Imports no torch in a process that is alone."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable

from metacl_run.core.errors import ConfigError, described
from metacl_run.runtime.ranks import ALONE, Ranks


def call_on_ranks(work: Callable[[Ranks], int]) -> int:
    """Joins the ranks that a launcher has started, calls `work` and returns its exit status; ranks other than 0 print nothing.

    An exception is recorded for torchrun's report. Where no launcher has set WORLD_SIZE, or to 1, only `work` is called.

    Raises:
        ConfigError: the other ranks cannot be reached, or the launcher's variables are incomplete.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return work(ALONE)
    import torch.distributed as dist
    from torch.distributed.elastic.multiprocessing.errors import record

    try:
        return record(_call_in_group)(work) or 0
    finally:  # once the exception is recorded, since to leave the group ends the other ranks
        if dist.is_initialized():
            dist.destroy_process_group()


def _call_in_group(work: Callable[[Ranks], int]) -> int:
    ranks = _join()
    with open(os.devnull, "w") as nowhere:
        out, err = (sys.stdout, sys.stderr) if ranks.leads else (nowhere, nowhere)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            return work(ranks)


def _join() -> Ranks:
    import torch
    import torch.distributed as dist

    # Imported once there is a group, its default arguments would keep the group from being destroyed.
    import torch.distributed.nn.functional

    try:
        rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        if not 0 <= rank < count:
            raise ValueError(f"RANK={rank} is not below WORLD_SIZE={count}")
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        local_rank, local_count = int(os.environ.get("LOCAL_RANK", rank)), int(os.environ.get("LOCAL_WORLD_SIZE", count))
    except (KeyError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"WORLD_SIZE={os.environ['WORLD_SIZE']}: the processes of this run cannot be joined ({described(error)}). "
            "Start them with torchrun --nproc_per_node=2 -m metacl_run ..., or unset WORLD_SIZE."
        ) from None
    return Ranks(rank=rank, count=count, local_rank=local_rank, local_count=local_count)

"""The text that a sweep prints at its end, or when its status is requested."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from metacl_run.core.errors import StorageError
from metacl_run.core.exit_status import COMPLETED, DIVERGED, INTERRUPTED
from metacl_run.layout.numbers import number, spread_text
from metacl_run.storage.run_state import units_done
from metacl_run.storage.stored_run import StoredRun
from metacl_run.sweeps.job import BUSY, STATUS_WORDS, Job, JobResult, common_overrides, own_overrides

WIDTH = max(map(len, STATUS_WORDS.values()))
WIDEST_COLUMN = 60
"""Letters to which settings and scores are padded; longer ones push the rest of their line to the right."""


def listing(jobs: Sequence[Job], results: Sequence[JobResult], name: str = "sweep") -> str:
    """Lists how many jobs ended in which way, then every job.

    A line has the job's own overrides, the score of a completed run or how far one is that has not ended, its directory and its
    error.
    """
    counts = Counter(STATUS_WORDS[result.status] for result in results)
    lines = [f"{name} of {len(jobs)}: " + ", ".join(f"{count} {word}" for word, count in counts.most_common())]
    common = common_overrides(jobs)
    if common:
        lines.append(f"  all with {' '.join(common)}")
    overrides = _padded([own_overrides(job.overrides, common) for job in jobs])
    outcomes = _padded([_outcome(job.directory, result.status) for job, result in zip(jobs, results, strict=True)])
    for job, result, own, outcome in zip(jobs, results, overrides, outcomes, strict=True):
        columns = f"  {STATUS_WORDS[result.status]:<{WIDTH}}", own, outcome, str(job.directory)
        lines.append("  ".join(filter(None, columns)))
        if result.error and result.status != COMPLETED:
            lines += [f"  {'':<{WIDTH}}    {line}" for line in result.error.splitlines()]
        if job.changed and result.status == COMPLETED:
            lines.append(f"  {'':<{WIDTH}}    computed before {', '.join(job.changed)} was changed")
    pairs = list(zip(jobs, results, strict=True))
    if any(result.status not in (COMPLETED, DIVERGED) and not job.changed for job, result in pairs):
        lines.append("the same command again runs what has not ended")
    if again := [words for words, some in _computed_again(pairs) if some]:
        lines.append(f"rerun=true with the command of one run computes {' or '.join(again)} again")
    return "\n".join(lines)


def _computed_again(pairs: Sequence[tuple[Job, JobResult]]) -> Iterator[tuple[str, bool]]:
    """What a sweep leaves as it is, in words, and whether it has some of it."""
    yield "a diverged one", any(result.status == DIVERGED for _, result in pairs)
    yield "one of changed code", any(job.changed for job, _ in pairs)


def _outcome(directory: Path, status: int) -> str:
    if status == COMPLETED:
        return _score(directory)
    return _position(directory) if status in (INTERRUPTED, BUSY) else ""


def _position(directory: Path) -> str:
    """ "after 27,533 of 93,500 observations"; without the rest where the run was killed and has told no more."""
    done = units_done(directory)
    if done is None:
        return ""
    try:
        run = StoredRun(directory)
        return f"after {done:,} of {run.units.total:,} {run.unit_name}s"
    except (StorageError, KeyError, TypeError, ValueError):
        return f"after {done:,} units of work"


def _score(directory: Path) -> str:
    """ "accuracy 0.642 (0.601 to 0.683)": the mean over seeds and its spread; empty where there is none to be read."""
    try:
        summary = StoredRun(directory).summary
        name = str(summary["score"])
        metric = summary["metrics"][name]
        spread = f" ({spread_text(metric)})" if len(summary["seeds"]) > 1 else ""
        return f"{name} {number(metric['mean'])}{spread}"
    except (StorageError, OSError, KeyError, TypeError, ValueError):
        return ""


def _padded(column: Sequence[str]) -> list[str]:
    width = min(max(map(len, column), default=0), WIDEST_COLUMN)
    return [text.ljust(width) for text in column]

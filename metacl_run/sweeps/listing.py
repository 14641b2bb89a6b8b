"""The text that a sweep prints at its end, or when its status is requested."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from metacl_run.sweeps.job import COMPLETED, STATUS_WORDS, Job, JobResult, common_overrides, own_overrides

WIDTH = max(map(len, STATUS_WORDS.values()))


def listing(jobs: Sequence[Job], results: Sequence[JobResult], name: str = "sweep") -> str:
    """Lists how many jobs ended in which way, then every job by its own overrides, with its run directory and its error."""
    counts = Counter(STATUS_WORDS[result.status] for result in results)
    lines = [f"{name} of {len(jobs)}: " + ", ".join(f"{count} {word}" for word, count in counts.most_common())]
    common = common_overrides(jobs)
    if common:
        lines.append(f"  all with {' '.join(common)}")
    for job, result in zip(jobs, results, strict=True):
        columns = f"  {STATUS_WORDS[result.status]:<{WIDTH}}", own_overrides(job, common), str(job.directory)
        lines.append("  ".join(filter(None, columns)))
        if result.error and result.status != COMPLETED:
            lines += [f"  {'':<{WIDTH}}    {line}" for line in result.error.splitlines()]
    if any(result.status != COMPLETED for result in results):
        lines.append("the same command again runs what is not completed (a diverged run is computed again with rerun=true)")
    return "\n".join(lines)

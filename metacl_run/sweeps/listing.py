"""What a sweep says at its end, or when asked how far it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from metacl_run.sweeps.job import COMPLETED, WORDS, Ended, Job, own_text, shared

WIDTH = max(map(len, WORDS.values()))


def listing(jobs: Sequence[Job], ended: Sequence[Ended], what: str = "sweep") -> str:
    """Counts, then each job by what tells it from the others, with its run directory and, below, its error."""
    counts = Counter(WORDS[each.status] for each in ended)
    lines = [f"{what} of {len(jobs)}: " + ", ".join(f"{count} {word}" for word, count in counts.most_common())]
    common = shared(jobs)
    if common:
        lines.append(f"  all with {' '.join(common)}")
    for job, each in zip(jobs, ended, strict=True):
        lines.append("  ".join(filter(None, [f"  {WORDS[each.status]:<{WIDTH}}", own_text(job, common), str(job.directory)])))
        if each.error and each.status != COMPLETED:
            lines += [f"  {'':<{WIDTH}}    {line}" for line in each.error.splitlines()]
    if any(each.status != COMPLETED for each in ended):
        lines.append("the same command again runs what is not completed (a diverged run is computed again with rerun=true)")
    return "\n".join(lines)

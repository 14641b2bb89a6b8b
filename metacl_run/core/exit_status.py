"""The exit statuses of the command, and of a run by its status."""

from __future__ import annotations

COMPLETED, FAILED, DIVERGED, INTERRUPTED = 0, 1, 3, 130
"""Done; a mistake or a failure; a seed diverged; stopped by a signal, and the same command goes on."""
EXIT_STATUS = {"completed": COMPLETED, "failed": FAILED, "diverged": DIVERGED, "interrupted": INTERRUPTED}
"""By the status that is in summary.json."""

"""`metacl-run index=<output_dir>`: writes index.html over the runs of a folder, with a link to every report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metacl_run.config.compose import compose_job
from metacl_run.core.errors import ConfigError


def run(words: Sequence[str], user_folder: str | None) -> int:
    """Writes the index of the folder that is named, else of the default output_dir. Returns the exit status.

    Raises:
        UserError: more than one folder is named, there is no such folder, or it cannot be written.
    """
    from metacl_run.index.index_page import write_index

    if len(words) > 1 or any(word.startswith("-") for word in words):
        raise ConfigError(f"index={' '.join(words)}: takes one folder, as in metacl-run index=runs")
    folder = Path(words[0] if words else compose_job([], user_folder)[0].output_dir).expanduser()
    if not folder.is_dir():
        raise ConfigError(f"index={folder}: there is no such folder")
    path, num_runs = write_index(folder)
    print(f"{num_runs} run{'' if num_runs == 1 else 's'}\nwritten  {path}")
    return 0

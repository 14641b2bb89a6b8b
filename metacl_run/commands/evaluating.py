"""`metacl-run evaluate=<run directory> data.shots=5`: evaluates a finished run with other settings, without training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metacl_run.core.errors import ConfigError


def run(words: Sequence[str], user_folder: str | None) -> int:
    """Evaluates, continues or shows an evaluation, and returns the exit status.

    Raises:
        UserError: it cannot be evaluated so.
    """
    if not words or not words[0].strip():
        raise ConfigError("evaluate=: must name a run directory, as in metacl-run evaluate=runs/omniglot/maml/1a2b3c4d5e6f")
    from metacl_run import experiment
    from metacl_run.trained_run import evaluation_of

    directory = Path(words[0]).expanduser()
    if not directory.is_dir():
        raise ConfigError(f"evaluate={words[0]}: there is no such folder")
    return experiment.run(evaluation_of(directory, words[1:], user_folder))

"""Experiments of tests. A process composes each choice of options once, for all its tests: that takes a tenth of a second, most
of which goes into reading and merging files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from metacl_run.config.compose import Composer
from metacl_run.config.load import Experiment


def experiment_of(overrides: Sequence[str], user_folder: str | None = None) -> Experiment:
    """As `metacl_run.config.compose.experiment_of`. The files of a folder of the user's are read at its first call alone."""
    return _composer(user_folder).experiment_of(overrides)


@cache
def _composer(user_folder: str | None) -> Composer:
    return Composer(user_folder)

"""Data that a learner of sequences does not take, with the learners that do."""

from __future__ import annotations

from metacl_run.core.errors import ConfigError
from metacl_run.scoring.objectives import CLASSIFICATION, Objective


def refuse_functions(name: str, objective: Objective) -> None:
    """Raises ConfigError where the targets are not classes."""
    if objective is not CLASSIFICATION:
        raise ConfigError(f"algo: {name} learns classes, but the data are functions. Use algo=alpaca or algo=sb_mcl.")


def refuse_classes(name: str, objective: Objective) -> None:
    """Raises ConfigError where the targets are classes."""
    if objective is CLASSIFICATION:
        raise ConfigError(f"algo: {name} learns functions, but the data are classes. Use algo=gemcl.")

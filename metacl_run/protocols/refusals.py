"""Refusals that several protocols share, each raised before anything is loaded."""

from __future__ import annotations

from torch import nn

from metacl_run.core.bounds import MOST_NUMBERS
from metacl_run.core.errors import ConfigError
from metacl_run.models.layers import has_batch_norm
from metacl_run.models.network import Model
from metacl_run.models.running_norm import has_running_averages


def refuse_batch_norm(module: nn.Module, model: Model, instead: str, *, in_own_module: str = "") -> None:
    """Raises ConfigError for a network that normalises by the statistics of a batch, where samples come one by one.

    Args:
        module: of the network.
        model: that the module is from.
        instead: options of models to use.
        in_own_module: a layer for a module that does not ship, which its author can change; "" where none is possible.
    """
    if has_batch_norm(module):
        if in_own_module and not type(model).__module__.startswith("metacl_run."):
            instead = f"{in_own_module} in its place, {instead}"
        raise ConfigError(
            f"model: {type(model).__name__} has batch norm, which knows no statistics but those of the batch it sees: one "
            f"sample would be normalised to nothing, and a test batch would give its task away. Use {instead} or another "
            "without."
        )


def refuse_running_averages(module: nn.Module, model: Model, protocol: str, instead: str) -> None:
    """Raises ConfigError for a network with running averages, where every episode or task has statistics of its own."""
    if has_running_averages(module):
        raise ConfigError(
            f"model: {type(model).__name__} has running averages, which only protocol=online moves: under protocol={protocol} "
            f"a learner adapts to episodes or tasks, whose statistics no average describes. Use {instead}."
        )


def refuse_beyond_memory(numbers: int, setting: str, what: str) -> None:
    """Raises ConfigError for settings, `key=value`, that need more numbers at once than any machine is likely to hold."""
    if numbers > MOST_NUMBERS:
        raise ConfigError(f"{setting}: {what} would be {numbers:.1e} numbers, and at most {MOST_NUMBERS:.0e} are held at once")


def refuse_more_ranks_than_episodes(ranks: int, episodes: int) -> None:
    """Raises ConfigError where some of the processes that share a meta-batch would have none of it."""
    if ranks > episodes:
        raise ConfigError(
            f"algo.meta_batch_size={episodes}: is shared out among the {ranks} processes of this run, so it must be at least "
            f"{ranks}. Use a larger one, or start fewer processes."
        )

"""The settings of a search, checked before anything is started: what it may choose, and which score of which data decides."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le

from metacl_run.config.compose import Composer
from metacl_run.config.load import Experiment
from metacl_run.config.overrides import Parts
from metacl_run.core.bounds import Seed
from metacl_run.core.digest import hex_digest
from metacl_run.core.errors import ConfigError, UserError, nearest
from metacl_run.scoring.metric_table import OOS_AUROC, TRANSDUCTIVE, higher_is_better, metrics_of
from metacl_run.sweeps.job import list_mistakes
from metacl_run.sweeps.space import Dimension, space

SPLIT = "protocol.eval_split"


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """Node `search` of the config.

    Attributes:
        trials: number of trials in all, those of earlier starts included.
        metric: a metric of the runs; None: their score.
        direction: None: the direction in which the metric is better.
        sampler: how settings are proposed: "tpe" (Bergstra et al. 2011) or "random".
        pruner: "median": end a trial that has done half of its stream and is behind the median of the others (`pruning.py`);
            None: "median" where the metric is the score, else "none".
        seed: the sampler's seed.
    """

    trials: Annotated[int, Ge(1), Le(10**5)]
    metric: str | None
    direction: Literal["maximize", "minimize"] | None
    sampler: Literal["tpe", "random"]
    pruner: Literal["median", "none"] | None
    seed: Seed


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search that has passed every check.

    Attributes:
        fixed: overrides of every trial.
        dimensions: the settings that are searched.
        user_folder: of --config-dir.
        folder: the folder of its study and its results.
        score: the name of the runs' score.
        metric, direction, sampler, pruner, seed: as in `SearchSettings`, with no None left.
    """

    fixed: list[str]
    dimensions: list[Dimension]
    user_folder: str | None
    folder: Path
    score: str
    metric: str
    direction: Literal["maximize", "minimize"]
    sampler: str
    pruner: str
    seed: int

    def count_points(self) -> int | None:
        """Counts the different settings; None where a dimension is an interval of real numbers."""
        counts = [dimension.count_values() for dimension in self.dimensions]
        return None if None in counts else math.prod(count for count in counts if count is not None)

    def overrides(self, settings: Mapping[str, Any]) -> list[str]:
        """Returns the overrides of a trial that has these settings."""
        return [*self.fixed, *(dimension.override(settings[dimension.key]) for dimension in self.dimensions)]


def prepare(settings: SearchSettings, parts: Parts, user_folder: str | None) -> Search:
    """Checks everything about a search before anything is started.

    Raises:
        ConfigError: a setting of the search is not possible, or a run at an end of a dimension is not.
    """
    for override in parts.run:
        if override.key_or_group == SPLIT and override.is_sweep_override():
            raise ConfigError(f"{SPLIT}: cannot be searched; a search never sees test data")
        if override.key_or_group == SPLIT and override.value() != "validation":
            line = override.input_line
            raise ConfigError(f"{line}: a search never sees test data. Leave it out; run the best settings on them afterwards")
    fixed, dimensions = space([override for override in parts.run if override.key_or_group != SPLIT])
    fixed.append(f"{SPLIT}=validation")
    base = _checked_at_ends(fixed, dimensions, user_folder)
    objective = base.data.score
    score = objective.score_name
    metric = settings.metric or score
    kind = base.protocol.kind
    names = [
        name
        for name in metrics_of(objective, kind)
        if name != OOS_AUROC and (kind == "continual_meta" or not name.startswith(TRANSDUCTIVE))
    ]
    if metric not in names:
        raise ConfigError(f"search.metric={metric}: no run has it.{nearest(metric, names)} There are: {', '.join(names)}")
    if settings.pruner == "median" and metric != score:
        raise ConfigError(f"search.pruner=median: goes by {score} along the way, which search.metric={metric} is not; use none")
    choices: dict[str, Any] = {
        "score": score,
        "metric": metric,
        "direction": settings.direction or ("maximize" if higher_is_better(metric, objective) else "minimize"),
        "sampler": settings.sampler,
        "pruner": settings.pruner or ("median" if metric == score else "none"),
        "seed": settings.seed,
    }
    identity = json.dumps({"run": base.run_id, "dimensions": dimensions, **choices}, sort_keys=True)
    folder = base.output_dir / "searches" / hex_digest(identity)
    return Search(fixed=fixed, dimensions=dimensions, user_folder=user_folder, folder=folder, **choices)


def _checked_at_ends(fixed: Sequence[str], dimensions: Sequence[Dimension], user_folder: str | None) -> Experiment:
    """Returns the experiment at the start of every dimension, after a check that all the ends can be run."""
    starts = [dimension.ends[0] for dimension in dimensions]
    composer = Composer(user_folder)
    base = composer.experiment_of([*fixed, *starts])
    mistakes = []
    for place, dimension in enumerate(dimensions):
        for end in dimension.ends[1:]:
            try:
                composer.experiment_of([*fixed, *starts[:place], end, *starts[place + 1 :]])
            except UserError as error:
                mistakes.append(([end], str(error)))
    if mistakes:
        raise ConfigError(list_mistakes(mistakes))
    return base

"""What a search is, checked before anything is started: which settings it may choose, and by which score of which data."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le

from metacl_run.config.compose import experiment_of
from metacl_run.config.load import Experiment
from metacl_run.config.overrides import Parts
from metacl_run.core.bounds import Seed
from metacl_run.core.errors import ConfigError, UserError, nearest
from metacl_run.scoring.metric_table import TRANSDUCTIVE, higher_is_better, metrics_of
from metacl_run.sweeps.job import refusal_of_all
from metacl_run.sweeps.space import Dimension, space

SPLIT = "protocol.eval_split"


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """Node `search` of the config.

    Attributes:
        trials: how many in all, those of earlier starts included.
        metric: a metric of the runs; None: their score.
        direction: None: as the metric is better.
        sampler: how settings are proposed: "tpe" (Bergstra et al. 2011) or "random".
        pruner: "median": end a trial that has done half of its stream and is behind the median of those before (`pruning.py`);
            None: "median" where the metric is the score, else "none".
        seed: of the sampler.
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
        dimensions: what is searched.
        user_folder: of --config-dir.
        folder: where its study and its results are kept.
        score: the name of the runs' score.
        metric, direction, sampler, pruner, seed: as in `SearchSettings`, decided.
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
        """How many different settings there are; None where a dimension is an interval of real numbers."""
        counts = [dimension.count_values() for dimension in self.dimensions]
        return None if None in counts else math.prod(count for count in counts if count is not None)


def prepare(settings: SearchSettings, parts: Parts, user_folder: str | None) -> Search:
    """Checks everything about a search before anything is started.

    Raises:
        ConfigError: a setting of the search cannot be, or a run at an end of a dimension.
    """
    fixed, dimensions = space(parts.run)
    for line in fixed:
        if line.lstrip("+").startswith(f"{SPLIT}=") and not line.endswith("=validation"):
            raise ConfigError(f"{line}: a search never sees test data. Leave it out; run the best settings on them afterwards")
    if any(each.key == SPLIT for each in dimensions):
        raise ConfigError(f"{SPLIT}: cannot be searched; a search never sees test data")
    fixed = [line for line in fixed if not line.lstrip("+").startswith(f"{SPLIT}=")] + [f"{SPLIT}=validation"]
    base = _checked_at_ends(fixed, dimensions, user_folder)
    objective = base.data.score
    score = objective.score_name
    metric = settings.metric or score
    kind = base.protocol.kind
    known = [
        name
        for name in metrics_of(objective, in_sequence=kind == "meta_continual")
        if kind == "continual_meta" or not name.startswith(TRANSDUCTIVE)
    ]
    if metric not in known:
        raise ConfigError(f"search.metric={metric}: no run has it.{nearest(metric, known)} There are: {', '.join(known)}")
    if settings.pruner == "median" and metric != score:
        raise ConfigError(f"search.pruner=median: goes by {score} along the way, which search.metric={metric} is not; use none")
    decided: dict[str, Any] = {
        "score": score,
        "metric": metric,
        "direction": settings.direction or ("maximize" if higher_is_better(metric, objective) else "minimize"),
        "sampler": settings.sampler,
        "pruner": settings.pruner or ("median" if metric == score else "none"),
        "seed": settings.seed,
    }
    named = json.dumps({"run": base.run_id, "dimensions": dimensions, **decided}, sort_keys=True)
    folder = base.output_dir / "searches" / hashlib.sha256(named.encode()).hexdigest()[:12]
    return Search(fixed=fixed, dimensions=dimensions, user_folder=user_folder, folder=folder, **decided)


def _checked_at_ends(fixed: Sequence[str], dimensions: Sequence[Dimension], user_folder: str | None) -> Experiment:
    """The experiment at the start of every dimension, when all the ends can be run."""
    starts = [each.ends[0] for each in dimensions]
    base = experiment_of([*fixed, *starts], user_folder)
    mistakes = []
    for place, dimension in enumerate(dimensions):
        for end in dimension.ends[1:]:
            try:
                experiment_of([*fixed, *starts[:place], end, *starts[place + 1 :]], user_folder)
            except UserError as error:
                mistakes.append(([end], str(error)))
    if mistakes:
        raise ConfigError(refusal_of_all(mistakes))
    return base

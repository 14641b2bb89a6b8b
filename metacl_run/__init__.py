"""metacl_run: a config-driven experiment runner for meta-learning and continual learning in PyTorch.

    import metacl_run as mr

    result = mr.run(["algo=maml", "data=split_omniglot", "seeds=[0,1,2]"])
    result.metrics["accuracy"].mean
    result.figure("accuracy_by_task").savefig("curves.pdf")
    adapted = result.learner(seed=0).adapt(images, labels)

The names here are the public API; nothing else is promised to importers. Torch is imported when it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metacl_run.core.errors import UserError
from metacl_run.core.version import __version__

if TYPE_CHECKING:
    from metacl_run.api.compared_runs import ComparedRuns
    from metacl_run.api.learner import Learner
    from metacl_run.api.run_result import Metric, RunResult
    from metacl_run.api.runs import compare, evaluate, find, load, run

__all__ = [
    "ComparedRuns",
    "Learner",
    "Metric",
    "RunResult",
    "UserError",
    "__version__",
    "compare",
    "evaluate",
    "find",
    "load",
    "run",
]
MODULES = {
    "ComparedRuns": "compared_runs",
    "Learner": "learner",
    "Metric": "run_result",
    "RunResult": "run_result",
    **dict.fromkeys(("compare", "evaluate", "find", "load", "run"), "runs"),
}
"""The module of `metacl_run.api` that has a name."""


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f"module 'metacl_run' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"metacl_run.api.{MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

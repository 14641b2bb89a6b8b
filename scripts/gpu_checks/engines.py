"""Times a unit of every kind of learner under every engine and precision, and compares a float64 update with the plain loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from gpu_checks.measuring import Results
from gpu_checks.units import timed_units
from metacl_run.config.compose import experiment_of
from metacl_run.protocols.continual_meta.protocol import ContinualMeta
from metacl_run.protocols.continual_meta.setup import FewShotSetup
from metacl_run.protocols.continual_meta.trainer import meta_update
from metacl_run.protocols.run_context import RunContext
from metacl_run.runtime.ranks import ALONE
from metacl_run.storage.run_writer import SilentWriter

ROWS = {
    "main job": ["algo=maml"],
    "maml-5way": ["algo=maml", "model=conv4", "algo.meta_batch_size=32"],
    "fomaml-5way": ["algo=fomaml", "model=conv4", "algo.meta_batch_size=32"],
    "reptile": ["algo=reptile"],
    "la_maml, 5 seeds": ["algo=la_maml", "seeds=[0,1,2,3,4]"],
    "mer, 5 seeds": ["algo=mer", "seeds=[0,1,2,3,4]"],
    "er, 5 seeds": ["algo=er", "seeds=[0,1,2,3,4]"],
    "oml": ["algo=oml"],
    "anml": ["algo=anml"],
}
FEW_EPISODES = 3
"""Episodes of the update that is compared with the loop."""


def run(device: str, out: Path, quick: bool) -> None:
    results = Results(out)
    rows = dict(list(ROWS.items())[:1]) if quick else ROWS
    engines = ("cuda_graph", "vmap") if device == "cuda" else ("vmap",)
    for name in [name for name, overrides in rows.items() if "seeds" not in str(overrides)][:4]:
        for engine in engines:
            results.attempt(f"{name}, {engine}, error", lambda: {"float64_error": distance(rows[name], engine, device)})  # noqa: B023

    for name, overrides in rows.items():
        for engine in engines:
            for precision in _precisions(name, device):
                settings = [*overrides, f"gpu.engine={engine}", f"gpu.precision={precision}"]
                units = 3 if quick else 12
                results.attempt(f"{name}, {engine}, {precision}", lambda: timed_units(settings, device, units))  # noqa: B023


def _precisions(name: str, device: str) -> tuple[str, ...]:
    return ("float32", "tf32", "bf16") if device == "cuda" and name == "maml-5way" else ("float32",)


def distance(overrides: list[str], engine: str, device: str) -> float:
    """The largest relative distance, over all tensors of the state, of one float64 meta-update from that of the plain loop.

    The outer step is plain SGD: the first step of Adam is the gradient's sign, which would hide what differs.
    """
    plain = ["algo.outer_optimizer=sgd", "algo.outer_momentum=0", f"algo.meta_batch_size={FEW_EPISODES}"]
    states = [_updated([*overrides, *plain], kind, device) for kind in ("loop", engine)]
    pairs = zip(*(tree_leaves(state["meta"]) for state in states), strict=True)
    return float(max((other - loop).abs().max() / loop.abs().max().clamp(min=1e-30) for loop, other in pairs))


def _updated(overrides: list[str], engine: str, device: str) -> Any:
    experiment = experiment_of([*overrides, f"gpu={device}", f"gpu.engine={engine}", "gpu.precision=float64"])
    assert isinstance(experiment.protocol, ContinualMeta)
    experiment.gpu.apply(0)
    parts = {name: getattr(experiment, name) for name in ("algo", "model", "data", "gpu", "seeds", "insight")}
    pool = experiment.protocol.load(experiment.data, experiment.seeds).to(experiment.gpu.torch_device)
    calls = {"stop_requested": lambda: False, "started": lambda *_: None}
    context = RunContext(**parts, pool=pool, store=SilentWriter(), ranks=ALONE, **calls)
    setup = FewShotSetup.of(context, "test", 1)
    learners = torch.utils._pytree.tree_map(
        lambda *leaves: torch.stack(leaves).to(experiment.gpu.torch_device), *setup.initial_learners()
    )
    update = setup.engine.prepare_update(meta_update(setup, setup.engine))
    return update(learners, setup.episodes.training(0, 0))[0]

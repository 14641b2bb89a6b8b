"""The defaults of configs/algo: chosen on validation data of each algorithm's default stream, then tested.

    python scripts/tune_defaults.py                      every candidate of every algorithm, and the best of them
    python scripts/tune_defaults.py er gem               of these algorithms
    python scripts/tune_defaults.py --test               the defaults as they stand, on test data, beside an untrained network

An algorithm's candidates are all combinations of its grid below; what is not in the grid stands in its YAML file. They are run
with the same seeds, none has more updates for a sample than another, and none sees test data. The best is the one with the best
mean score after the stream. Few-shot learners and learners of sequences are tuned at a reduced length (`REDUCED`). Nothing is
written to configs: the values go there by hand, and the printed tables to results/defaults/. Lines that stand in the file given
by --log are not computed again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metacl_run.config.compose import compose_job
from metacl_run.config.load import load
from metacl_run.protocols.run_context import RunContext
from metacl_run.runtime.process_memory import keep_freed_memory
from metacl_run.runtime.ranks import ALONE
from metacl_run.scoring import matrix_metrics
from metacl_run.scoring.scores import SCORES
from metacl_run.storage.run_writer import SilentWriter

LOW, HIGH = [0.01, 0.03, 0.1], [0.03, 0.1, 0.3]
ONLINE: dict[str, dict[str, Sequence[Any]]] = {
    "sgd": {"lr": [*LOW, 0.3]},
    "er": {"lr": [*LOW, 0.3]},
    "er_ace": {"lr": HIGH},
    "mir": {"lr": HIGH},
    "er_mof": {"lr": HIGH},
    "gss": {"lr": HIGH, "replay": [10, 30]},
    "icarl": {"lr": HIGH, "replay": [10, 30]},
    "joint": {"lr": [*LOW, 0.3]},
    "multitask": {"lr": [*LOW, 0.3]},
    "a_gem": {"lr": LOW},
    "gem": {"lr": [0.01, 0.03], "margin": [0.0, 0.5]},
    "ewc": {"lr": LOW, "strength": [1, 10, 30]},
    "online_ewc": {"strength": [10, 30]},
    "ewc_pp": {"lr": LOW, "strength": [10, 50, 100]},
    "rwalk": {"lr": LOW, "strength": [1, 10, 30]},
    "mas": {"strength": [0.1, 0.3, 1, 3]},
    "si": {"lr": LOW, "strength": [0.1, 1, 3]},
    "lwf": {"lr": [0.01, 0.03], "strength": [1, 3, 10]},
    "der_pp": {"lr": [0.03, 0.1], "alpha": [0.3, 1.0], "beta": [0.5, 1.0]},
    "mer": {"lr": [0.03, 0.1], "beta": [0.03, 0.1, 0.3]},
    "la_maml": {"inner_lr": [0.1, 0.3], "rate_lr": HIGH},
    "la_er": {"inner_lr": [0.1, 0.3], "rate_lr": [0.03, 0.1, 0.3]},
    "c_maml": {"inner_lr": [0.03, 0.1], "outer_lr": HIGH},
    "vr_mcl": {"outer_lr": HIGH, "variance_reduction": [0.15, 0.8], "rate_lr": [0.03, 0.1]},
    "sync_la_maml": {"inner_lr": [0.1], "outer_lr": HIGH},
}
FEW_SHOT: dict[str, dict[str, Sequence[Any]]] = {
    "maml": {"inner_lr": [0.2, 0.4, 0.8]},
    "anil": {"inner_lr": [0.4, 0.8]},
    "cavia": {"inner_lr": [1.0, 3.0], "context_size": [20, 60]},
    "protonet": {"outer_lr": [0.003, 0.01]},
    "reptile": {"inner_lr": [0.001, 0.003, 0.01]},
}
SEQUENCES: dict[str, dict[str, Sequence[Any]]] = {
    "oml": {"outer_lr": [0.001, 0.003]},
    "anml": {"outer_lr": [0.001, 0.003]},
    "maml_rep": {"inner_lr": [0.03, 0.1]},
    "oml_reptile": {"outer_lr": [0.1, 0.3]},
    "pretrain": {"outer_lr": [0.001, 0.003]},
    "gemcl": {"outer_lr": [0.001, 0.003]},
    "protonet_cl": {"outer_lr": [0.001, 0.003]},
    "alpaca": {"outer_lr": [0.0003, 0.001, 0.003]},
    "sb_mcl": {"outer_lr": [0.001, 0.003]},
    "cl_as_seq": {"outer_lr": [0.001, 0.003]},
}
VALIDATION: dict[str, list[str]] = {
    "online": ["protocol.eval_split=validation"],
    "continual_meta": ["protocol.eval_split=validation", "data.validation_classes=0.2"],
    "meta_continual": ["protocol.eval_split=validation"],
}
QUIET = ["gpu.threads=1", "protocol.eval_every=0"]
REDUCED: dict[str, list[str]] = {
    "online": [],
    "continual_meta": ["data.num_tasks=3", "protocol.updates_per_task=40"],
    "meta_continual": ["protocol.updates=300", "protocol.orders=3", "protocol.selection_orders=2"],
}
GRIDS = {**ONLINE, **FEW_SHOT, **SEQUENCES}
OTHERS = ["fomaml", "ftml", "meta_sgd"]
"""As maml, whose values they have, or, meta_sgd, start from."""


def protocol_of(algo: str) -> str:
    return "online" if algo in ONLINE else "continual_meta" if algo in [*FEW_SHOT, *OTHERS] else "meta_continual"


def scores(overrides: Sequence[str]) -> dict[str, Any]:
    """Mean and values over seeds of the run's score, after the stream and before any learning; None where a seed diverged."""
    experiment = load(*compose_job(overrides), list(overrides))
    keep_freed_memory()
    experiment.gpu.apply(0)
    began = time.process_time()
    result = experiment.protocol.run(
        RunContext(
            algo=experiment.algo,
            model=experiment.model,
            data=experiment.data,
            pool=experiment.protocol.load(experiment.data, experiment.seeds).to(experiment.gpu.torch_device),
            gpu=experiment.gpu,
            seeds=experiment.seeds,
            insight="none",
            store=SilentWriter(),
            ranks=ALONE,
            stop_requested=lambda: False,
            started=lambda *_: None,
        )
    )
    objective = experiment.data.score
    metrics = matrix_metrics.summarise(result.evaluations.matrix, objective=objective, sizes=result.sizes)
    last = metrics.get(objective.score_name, {"mean": float("nan"), "values": []})
    learning = metrics.get(f"learning_{objective.score_name}", {"mean": float("nan")})
    return {
        "score": objective.score_name,
        "status": result.status,
        "mean": last["mean"],
        "values": last["values"],
        "learning": learning["mean"],
        "before": float(np.mean(result.evaluations.matrix[:, 0])),
        "cpu_s": round(time.process_time() - began, 1),
    }


def logged(overrides: Sequence[str], log: Path) -> dict[str, Any]:
    known = log.read_text().splitlines() if log.exists() else []
    for line in map(json.loads, known):
        if line["overrides"] == list(overrides):
            return line
    line = {"overrides": list(overrides), **scores(overrides)}
    with log.open("a") as file:
        file.write(json.dumps(line) + "\n")
    return line


def number(value: float | None) -> str:
    return "nan" if value is None else f"{value:.3f}"


def shown(name: str, line: dict[str, Any]) -> str:
    values = " ".join(map(number, line["values"]))
    end = "" if line["status"] == "completed" else f"  {line['status']}"
    return f"{name:60} {number(line['mean'])}  ({values})  learning {number(line['learning'])}  {line['cpu_s']:6.1f} s{end}"


def tune(algo: str, seeds: str, log: Path) -> None:
    protocol, grid = protocol_of(algo), GRIDS[algo]
    lines = []
    for values in itertools.product(*grid.values()):
        own = [f"algo.{key}={value}" for key, value in zip(grid, values, strict=True)]
        lines.append(logged([f"algo={algo}", *own, f"seeds={seeds}", *QUIET, *VALIDATION[protocol], *REDUCED[protocol]], log))
        print(shown(" ".join([algo, *own]), lines[-1]), flush=True)
    best = best_of(lines)
    words = "none: every candidate diverged" if best is None else " ".join(best["overrides"][1 : 1 + len(grid)])
    print(f"{algo:14} best: {words}\n", flush=True)


def best_of(lines: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The line with the best mean, in the direction in which its score is good; None where no line has a mean."""
    finite = [line for line in lines if line["mean"] is not None and math.isfinite(line["mean"])]
    return max(finite, key=lambda line: SCORES[line["score"]].sign * line["mean"], default=None)


def test(algo: str, seeds: str, log: Path) -> None:
    protocol = protocol_of(algo)
    common = [f"algo={algo}", f"seeds={seeds}", *QUIET]
    line = logged(common, log)
    untrained = logged([*common, "protocol.updates=0"], log)["mean"] if protocol == "meta_continual" else line["before"]
    print(f"{shown(algo, line)}  untrained {number(untrained)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("algo", nargs="*", help="algorithms; none: all")
    parser.add_argument("--test", action="store_true", help="test the defaults as they stand")
    parser.add_argument("--seeds", default="[0,1,2]")
    parser.add_argument("--log", type=Path, default=Path("tune_defaults.jsonl"))
    asked = parser.parse_args()
    every = [*GRIDS, *OTHERS] if asked.test else list(GRIDS)
    for algo in asked.algo or every:
        (test if asked.test else tune)(algo, asked.seeds, asked.log)


if __name__ == "__main__":
    main()

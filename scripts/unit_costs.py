"""What a unit of work of every method costs: CPU time at the defaults, on one thread, beside a simple method of its protocol.

    python scripts/unit_costs.py                     every protocol
    python scripts/unit_costs.py online              one of them
    python scripts/unit_costs.py online --algo er gss

A unit is a batch of 10 samples of the stream (`online`; MER takes 10 steps for it), a meta-update (`continual_meta`,
`meta_continual`) or a prediction and an update (`osaka`). Shown is the median over the units of a short run of one seed, of the
CPU time of this process, evaluation not included; then what the end of a task takes. Methods whose default data differ from
those of the other methods are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from typing import Any

import pytest
import torch

from metacl_run.config.compose import experiment_of
from metacl_run.config.option_files import OptionFiles
from metacl_run.experiment import run
from metacl_run.protocols.online.trainer import StreamTrainer
from metacl_run.protocols.training import TrainingPhase

QUIET = ["gpu=cpu", "gpu.threads=1", "progress=none", "figures.style=none"]
SHORT = {
    "online": ["data.num_tasks=3", "data.train_per_task=400", "data.test_per_task=20"],
    "continual_meta": ["data.num_tasks=2", "protocol.updates_per_task=10", "protocol.eval_episodes=2", "protocol.eval_every=0"],
    "meta_continual": [
        *("protocol.updates=20", "protocol.schedule=[2]", "protocol.orders=1"),
        *("protocol.selection_orders=1", "protocol.eval_every=0"),
    ],
    "osaka": ["protocol.steps=60"],
}
"""The settings of a short run, by protocol."""
DATA = {
    "online": "rotated_digits",
    "continual_meta": "split_glyphs",
    "meta_continual": "split_glyphs",
    "osaka": "recurring_glyphs",
}
SIMPLE = {"online": "sgd", "continual_meta": "fomaml", "meta_continual": "pretrain", "osaka": "sgd_osaka"}
"""With which the others are compared, by protocol."""
UNTRAINED = "scratch"
"""The method that has no units of work."""
WARM_UP = 5
"""First units, which are not counted."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("protocols", nargs="*", help=f"of {', '.join(SHORT)} (default: all)")
    parser.add_argument("--algo", nargs="+", default=None, help="methods (default: all of the protocol)")
    args = parser.parse_args()
    unknown = set(args.protocols) - set(SHORT)
    if unknown:
        parser.error(f"{unknown.pop()} is no protocol; there are {', '.join(SHORT)}")
    torch.set_num_threads(1)
    for protocol in args.protocols or SHORT:
        chosen = [name for name in methods(protocol) if args.algo is None or name in {*args.algo, SIMPLE[protocol]}]
        costs = {name: cost(name, protocol) for name in chosen}
        print(f"\n{protocol}\n{'':20}{'CPU ms a unit':>14}{'times ' + SIMPLE[protocol]:>18}{'ms at the end of a task':>26}")
        for name, (unit, end) in sorted(costs.items(), key=lambda item: item[1]):
            print(f"{name:20}{unit:14.2f}{unit / costs[SIMPLE[protocol]][0]:18.1f}{end:26.1f}", flush=True)


def methods(protocol: str) -> list[str]:
    """The methods that train under a protocol, on the data that most of them have by default."""
    files = OptionFiles()
    return [
        algo.name
        for algo in files.all("algo")
        if algo.name != UNTRAINED
        and files.algo_kind(algo) == protocol
        and algo.chooses.get("data", files.defaults["data"]) == DATA[protocol]
    ]


def cost(algo: str, protocol: str) -> tuple[float, float]:
    """CPU milliseconds of a unit, pre-training not included, and of the end of a task."""
    units: list[float] = []
    ends: list[float] = []
    step, end_task = TrainingPhase.step, StreamTrainer.end_task

    def timed_step(self: TrainingPhase, unit: int) -> int:
        began = time.process_time()
        count = step(self, unit)
        if unit in self.trainer.alike(self.length)[-1]:
            units.extend([(time.process_time() - began) / count] * count)
        return count

    def timed_end(self: StreamTrainer, learner: Any, task: int) -> Any:
        began = time.process_time()
        learner = end_task(self, learner, task)
        ends.append(time.process_time() - began)
        return learner

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingPhase, "step", timed_step)
        patch.setattr(StreamTrainer, "end_task", timed_end)
        experiment = experiment_of([f"algo={algo}", *SHORT[protocol], *QUIET, f"output_dir={folder}"])
        with contextlib.redirect_stdout(io.StringIO()):
            if run(experiment):
                raise SystemExit(f"{algo}: the run failed")
    samples = getattr(experiment.algo, "batch_size", 10) if protocol == "online" else 10
    return 1e4 * statistics.median(units[WARM_UP:]) / samples, 1e3 * statistics.median(ends or [0.0])


if __name__ == "__main__":
    main()

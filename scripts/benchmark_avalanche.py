"""Times experience replay on split MNIST from the command to the report: five seeds here, five runs of Avalanche.

    python -m venv /tmp/avalanche && /tmp/avalanche/bin/pip install 'torch>=2.11,<2.14' torchvision avalanche-lib==0.6.0
    python scripts/benchmark_avalanche.py --avalanche /tmp/avalanche/bin/python --root DATA

DATA holds MNIST. Both learn all 60,000 images once, two digits after two, with a network of two layers of 100, one head of ten
outputs, one step of SGD on ten new samples and ten from a buffer of 500, and test all digits after every two. Both write
accuracies and forgetting to files. Rounds alternate; a time is that of whole processes. Runs of Avalanche come one after
another with torch's threads, or, with --at-once, side by side with one thread each.

Avalanche fills its buffer after each pair of digits, we after each sample.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
GUARD = ROOT / "metacl_run/data/files/torchvision_guard.py"
RATE, BATCH, MEMORY, HIDDEN, TASKS = 0.1, 10, 500, 100, 5
OURS = [
    *("algo=er", "data=split_mnist", "model=mlp_small", "data.balance=none", f"model.hidden=[{HIDDEN},{HIDDEN}]"),
    *(f"algo.lr={RATE}", f"algo.batch_size={BATCH}", f"algo.replay={BATCH}", f"algo.memory={MEMORY}", "algo.updates=1"),
    "progress=plain",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--avalanche", metavar="PYTHON", default=sys.executable, help="of the environment that has Avalanche")
    parser.add_argument("--root", required=True, help="folder that holds MNIST")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--at-once", type=int, default=1, help="runs of Avalanche side by side (default 1)")
    parser.add_argument("--run-avalanche", type=int, metavar="SEED", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run_avalanche is not None:
        print(json.dumps(avalanche_run(arguments.run_avalanche, arguments.root)))
        return
    print(shlex.join(["python", "scripts/benchmark_avalanche.py", *sys.argv[1:]]))
    print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores", flush=True)
    ours: list[float] = []
    theirs: list[float] = []
    with tempfile.TemporaryDirectory() as unpacked:
        unpack(Path(arguments.root), Path(unpacked))
        for _ in range(arguments.repeats):
            seconds, our_scores = our_round(arguments)
            ours.append(seconds)
            seconds, their_scores = their_round(arguments, unpacked)
            theirs.append(seconds)
            print(f"metacl_run {ours[-1]:.1f} s, Avalanche {theirs[-1]:.1f} s", flush=True)
    print(f"\n{'':<12}{'median s':>9}{'fastest':>9}{'slowest':>9}  accuracy of the seeds at the end")
    for name, times, scores in (("metacl_run", ours, our_scores), ("Avalanche", theirs, their_scores)):
        accuracies = " ".join(f"{score:.3f}" for score in scores)
        mean = statistics.mean(scores)
        print(f"{name:<12}{statistics.median(times):>9.1f}{min(times):>9.1f}{max(times):>9.1f}  {mean:.3f}  ({accuracies})")
    ratio = statistics.median(their / our for our, their in zip(ours, theirs, strict=True))
    print(f"ratio, the median of the rounds: {ratio:.1f}")


def unpack(root: Path, folder: Path) -> None:
    """Lays MNIST's four files out as torchvision wants them, so that Avalanche does not download them."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in root.rglob("*-ubyte*"):
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as packed, (raw / path.stem).open("wb") as file:
            shutil.copyfileobj(packed, file)


def our_round(arguments: argparse.Namespace) -> tuple[float, list[float]]:
    """Runs all seeds in one command. Returns its seconds, and the accuracy of every seed."""
    with tempfile.TemporaryDirectory() as folder:
        seeds = ",".join(map(str, range(arguments.seeds)))
        settings = [*OURS, f"seeds=[{seeds}]", f"data.root={arguments.root}", f"output_dir={folder}"]
        begun = time.monotonic()
        checked([sys.executable, "-m", "metacl_run", *settings], cwd=ROOT)
        seconds = time.monotonic() - begun
        summary = json.loads(next(Path(folder).glob("*/*/*/summary.json")).read_text())
    return seconds, summary["metrics"]["accuracy"]["values"]


def their_round(arguments: argparse.Namespace, root: str) -> tuple[float, list[float]]:
    """Runs Avalanche once for every seed. Returns the seconds of all, and the accuracies."""
    environment = {**os.environ, **({"OMP_NUM_THREADS": "1"} if arguments.at_once > 1 else {})}

    def run(seed: int) -> float:
        command = [arguments.avalanche, __file__, "--root", root, "--run-avalanche", str(seed)]
        accuracy: float = json.loads(checked(command, env=environment).splitlines()[-1])
        return accuracy

    begun = time.monotonic()
    with ThreadPoolExecutor(arguments.at_once) as pool:
        accuracies = list(pool.map(run, range(arguments.seeds)))
    return time.monotonic() - begun, accuracies


def checked(command: list[str], **options: Any) -> str:
    """Runs a command; returns what it prints, or ends with its error."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        sys.exit(f"{shlex.join(command)}\n{done.stderr[-2000:]}")
    return done.stdout


def avalanche_run(seed: int, root: str) -> float:
    """Runs Avalanche as its examples do, in this process. Returns the mean accuracy over all digits at the end."""
    spec = importlib.util.spec_from_file_location("torchvision_guard", GUARD)
    assert spec is not None
    assert spec.loader is not None
    guard = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(guard)
    guard.torchvision_module("datasets")
    import torch
    from avalanche.benchmarks.classic import SplitMNIST
    from avalanche.evaluation.metrics import accuracy_metrics, forgetting_metrics
    from avalanche.logging import CSVLogger
    from avalanche.models import SimpleMLP
    from avalanche.training.plugins import EvaluationPlugin, ReplayPlugin
    from avalanche.training.storage_policy import ReservoirSamplingBuffer
    from avalanche.training.supervised import Naive

    torch.manual_seed(seed)
    benchmark = SplitMNIST(
        TASKS, seed=seed, fixed_class_order=list(range(10)), train_transform=None, eval_transform=None, dataset_root=root
    )
    model = SimpleMLP(num_classes=10, hidden_size=HIDDEN, hidden_layers=2, drop_rate=0)
    with tempfile.TemporaryDirectory() as folder:
        plugin = EvaluationPlugin(
            accuracy_metrics(experience=True, stream=True),
            forgetting_metrics(experience=True, stream=True),
            loggers=[CSVLogger(folder)],
        )
        replay = ReplayPlugin(MEMORY, BATCH, BATCH, storage_policy=ReservoirSamplingBuffer(MEMORY))
        strategy = Naive(
            model=model,
            optimizer=torch.optim.SGD(model.parameters(), lr=RATE),
            train_mb_size=BATCH,
            eval_mb_size=1000,
            evaluator=plugin,
            plugins=[replay],
        )
        for experience in benchmark.train_stream:
            strategy.train(experience)
            results = strategy.eval(benchmark.test_stream)
    accuracy: float = results["Top1_Acc_Stream/eval_phase/test_stream/Task000"]
    return accuracy


if __name__ == "__main__":
    main()

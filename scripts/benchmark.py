"""Time, memory and correctness of meta-updates: metacl_run beside higher, TorchOpt and a plain autograd loop.

    python scripts/benchmark.py                       every row on the CPU (pip install 'metacl-run[bench]' for the peers)
    python scripts/benchmark.py --device cuda         the same on a GPU, with one line for each engine
    python scripts/benchmark.py --rows maml-5way fomaml-5way --repeats 15 --out results.json

Each implementation of a row runs in a process of its own, so that it has its own allocator and its own peak memory. In every
round each of them takes one meta-update, in turn, while the others wait; so a slow minute of the machine hits all alike. Shown
are median, smallest and largest; the ratio is the median of the fastest peer over the median of this line. The error is the
largest relative error of any parameter's meta-gradient against the autograd loop, both in float64, on a few of the tasks.
The floor is the row's convolution arithmetic at the highest rate that one convolution of this network reached meanwhile.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from benchmarks import few_shot, online, sequences, whole_runs
from benchmarks.measuring import serve, table_of
from rich.console import Console

MODULES = {name: module for module in (few_shot, whole_runs, online, sequences) for name in module.ROWS}
"""The module that measures a row."""
CPU_ENGINES, CUDA_ENGINES = ["vmap"], ["loop", "vmap", "compile", "cuda_graph"]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rows", nargs="+", default=list(MODULES), choices=MODULES, metavar="ROW", help=f"of {', '.join(MODULES)}"
    )
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--engines", nargs="+", default=None, choices=CUDA_ENGINES, help="default: vmap; on CUDA all four")
    parser.add_argument("--repeats", type=int, default=7, help="rounds (default 7)")
    parser.add_argument("--updates", type=int, default=5, help="meta-updates in one unit of the end-to-end rows (default 5)")
    parser.add_argument("--root", default=None, help="folder with MNIST, for the online rows (default: generated digits)")
    parser.add_argument("--tasks", type=int, default=None, help="a smaller meta-batch, to try the script out")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads (default: torch's)")
    parser.add_argument("--out", type=Path, default=None, help="also write everything to this JSON file")
    parser.add_argument("--worker", default=None, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: there is no CUDA device here")
    args.engines = args.engines or (CUDA_ENGINES if args.device == "cuda" else CPU_ENGINES)
    return args


def main() -> None:
    args = parse()
    if args.worker is not None:
        serve(json.loads(args.worker))
        return
    from metacl_run.runtime.environment import describe

    torch.set_num_threads(args.threads)
    environment = describe(torch.device(args.device))
    command = shlex.join(["python", "scripts/benchmark.py", *sys.argv[1:]])
    console, progress = Console(width=110, highlight=False), Console(stderr=True, highlight=False)
    console.print(f"{command}\n{environment['device']}, {args.threads} threads, {environment['platform']}")
    console.print(f"torch {environment['torch']}, python {environment['python']}, commit {environment['git_commit']}")
    results = []
    for name in args.rows:

        def say(text: str, name: str = name) -> None:
            progress.print(f"{name}: {text}", style="dim")

        results.append(MODULES[name].measure_row(name, args, say))
        console.print()
        console.print(table_of(results[-1]))
    if args.out is not None:
        content = {"command": command, "environment": environment, "threads": args.threads, "rows": results}
        args.out.write_text(json.dumps(content, default=asdict, indent=1) + "\n")


if __name__ == "__main__":
    main()

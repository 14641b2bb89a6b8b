"""Whole runs: ours beside a loop with a DataLoader and a log, and five seeds in one run beside five runs."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.few_shot import ROWS as FEW_SHOT_ROWS
from benchmarks.few_shot import our_overrides
from benchmarks.few_shot_peers import OUTER_LR, Batch, Problem, loop, stock_network
from benchmarks.measuring import Job, Line, measure, timed

END_TO_END, REPLICATES, COMMANDS = "end-to-end", "replicates", "replicates-commands"
ROWS = (END_TO_END, REPLICATES, COMMANDS)
SEEDS = [0, 1, 2, 3, 4]


def measure_row(name: str, args: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    return end_to_end_row(args, say) if name == END_TO_END else replicates_row(name, args, say)


def end_to_end_row(args: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    problem, updates = FEW_SHOT_ROWS["maml-5way"], args.updates
    common = {"module": "whole_runs", "device": "cpu", "threads": args.threads, "problem": asdict(problem), "updates": updates}
    ours = "metacl_run, whole run"
    tasks: dict[str, dict[str, Any]] = {ours: {**common, "kind": "run", "argument": [[0]], "device": args.device}}
    for workers in (0, 2):
        tasks[f"autograd loop, DataLoader({workers})"] = {**common, "kind": "end-to-end loop", "argument": workers}
    lines = {name: Line(name, is_peer=name != ours) for name in tasks}
    measure(tasks, lines, args.repeats, say)
    text = (
        f"{END_TO_END}: MAML as in maml-5way on generated characters, with sampling, rotation, logging every update and the "
        "outer step\nms a meta-update; the loop draws from per-class data sets through an ordinary DataLoader (its workers)"
    )
    return {"row": END_TO_END, "title": text, "lines": list(lines.values())}


def replicates_row(name: str, args: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    common = {
        "module": "whole_runs", "device": args.device, "threads": args.threads, "problem": asdict(FEW_SHOT_ROWS["maml-5way"]),
        "kind": "replicates" if name == REPLICATES else "commands", "updates": 4 * args.updates,
    }  # fmt: skip
    together, single = "five seeds in one run", "five single runs"
    tasks: dict[str, dict[str, Any]] = {
        together: {**common, "argument": [SEEDS]},
        single: {**common, "argument": [[seed] for seed in SEEDS]},
    }
    lines = {name: Line(name, is_peer=name == single) for name in tasks}
    measure(tasks, lines, args.repeats, say)
    text = f"{name}: MAML, MLP 256-128-64-64 with batch norm, meta-batch 8\n"
    text += "ms a meta-update of all five seeds" if name == REPLICATES else "ms from the command to the report, all five seeds"
    return {"row": name, "title": text, "lines": list(lines.values())}


def make_job(task: dict[str, Any], device: torch.device) -> Job:
    kind, argument, problem = task["kind"], task["argument"], Problem(**task["problem"])
    if kind == "end-to-end loop":
        return end_to_end_loop_job(argument, problem, task["updates"])
    if kind == "commands":
        return commands_job(["model=mlp", f"gpu={device.type}"], argument, task["threads"])
    overrides = our_overrides(problem, device)
    if kind == "replicates":
        overrides += ["model=mlp", "algo.meta_batch_size=8"]
    return our_run_job(overrides, argument, task["updates"], task["threads"])


def our_run_job(overrides: list[str], seed_lists: list[list[int]], updates: int, threads: int) -> Job:
    """Whole runs of the program, one for each list of seeds; a unit is their time per meta-update, evaluation left out."""
    from metacl_run import experiment as program
    from metacl_run.config.compose import compose_job
    from metacl_run.config.load import load

    folder = tempfile.TemporaryDirectory(prefix="benchmark-")
    fixed = [
        "data.num_classes=200", "data.num_scripts=10", f"protocol.updates_per_task={updates}", "protocol.eval_every=0",
        "protocol.eval_episodes=2", "protocol.log_every=1", "progress=none", "rerun=true", f"output_dir={folder.name}",
        f"gpu.threads={threads}",
    ]  # fmt: skip

    def unit() -> float:
        seconds = 0.0
        for seeds in seed_lists:
            experiment = load(*compose_job([*overrides, *fixed, f"seeds={seeds}"]))
            with contextlib.redirect_stdout(io.StringIO()):
                status = program.run(experiment)
            if status:
                raise RuntimeError(f"the run ended with status {status}")
            summary = json.loads((experiment.directory / "summary.json").read_text())
            seconds += summary["timing"]["train_s"] / summary["timing"]["units"]
        return seconds

    return Job(unit)


def commands_job(overrides: list[str], seed_lists: list[list[int]], threads: int) -> Job:
    """Whole commands one after another, from the start of Python to the report: the default stream, updates quartered."""
    folder = tempfile.TemporaryDirectory(prefix="benchmark-")
    program = [sys.executable, "-m", "metacl_run", *overrides, "rerun=true", "progress=none"]
    program += [f"gpu.threads={threads}", "protocol.updates_per_task=30", "protocol.eval_every=0"]

    def work() -> None:
        for seeds in seed_lists:
            command = [*program, f"output_dir={folder.name}", f"seeds={seeds}"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder.name)

    return Job(lambda: timed(work, torch.device("cpu")))


def end_to_end_loop_job(workers: int, problem: Problem, updates: int) -> Job:
    """The autograd loop with a DataLoader and the loss logged at every update; a unit is `updates` meta-updates."""
    network = stock_network(problem.ways)
    optimizer = torch.optim.Adam(network.parameters(), lr=OUTER_LR)
    batches = episode_loader(glyph_pixels(), problem, workers)
    folder = tempfile.TemporaryDirectory(prefix="benchmark-")

    def work() -> None:
        for _ in range(updates):
            optimizer.zero_grad()
            loss = loop(network, problem, next(batches))
            optimizer.step()
            with Path(folder.name, "log.jsonl").open("a") as log:
                log.write(json.dumps({"loss": loss}) + "\n")

    return Job(lambda: timed(work, torch.device("cpu")) / updates)


def glyph_pixels() -> torch.Tensor:
    from metacl_run.data.images.glyph_drawing import draw_glyphs

    drawn = draw_glyphs(num_classes=200, num_scripts=10, writers=20, image_size=28, seed=0)
    pixels = torch.as_tensor(drawn)
    return pixels.reshape(200, 20, 28, 28)


def episode_loader(pixels: Tensor, problem: Problem, workers: int) -> Iterator[Batch]:
    """Meta-batches without end from [classes, images, 28, 28] uint8 pixels."""
    episodes = _Episodes(pixels, problem.ways, 10**7)
    return iter(DataLoader(episodes, batch_size=problem.tasks, num_workers=workers))


class _ClassImages(Dataset[Tensor]):
    """The images of one class, as a data set of its own."""

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> Tensor:
        return self.pixels[index].unsqueeze(0).float() / 255


class _Episodes(Dataset[Batch]):
    """Episodes drawn from per-class data sets, each class turned by a random multiple of 90 degrees."""

    def __init__(self, pixels: Tensor, ways: int, length: int) -> None:
        self.classes = [_ClassImages(images) for images in pixels]
        self.ways, self.length = ways, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Batch:
        generator = torch.Generator().manual_seed(index)
        support, query = [], []
        for c in torch.randperm(len(self.classes), generator=generator)[: self.ways].tolist():
            dataset = self.classes[c]
            turn = int(torch.randint(4, (), generator=generator))
            first, second = torch.randperm(len(dataset), generator=generator)[:2].tolist()
            support.append(torch.rot90(dataset[first], turn, (1, 2)))
            query.append(torch.rot90(dataset[second], turn, (1, 2)))
        labels = torch.arange(self.ways)
        return torch.stack(support), labels, torch.stack(query), labels

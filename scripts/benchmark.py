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
import contextlib
import io
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from bench_peers import OUTER_LR, PEERS, OnlineLoop, Problem, episode_loader, loop, sampled, stock_network
from bench_sequences import (
    CLASSES,
    ORDERS,
    POOL,
    RATES,
    STEPS,
    TEST,
    our_step_job,
    our_test_job,
    released_step_job,
    released_test_job,
)
from rich.console import Console
from rich.table import Table

ROWS = {
    "maml-5way": Problem(ways=5, tasks=32, steps=1, first_order=False),
    "fomaml-5way": Problem(ways=5, tasks=32, steps=1, first_order=True),
    "maml-5way-5steps": Problem(ways=5, tasks=32, steps=5, first_order=False),
    "fomaml-5way-5steps": Problem(ways=5, tasks=32, steps=5, first_order=True),
    "maml-20way": Problem(ways=20, tasks=16, steps=1, first_order=False),
    "fomaml-20way": Problem(ways=20, tasks=16, steps=1, first_order=True),
}
END_TO_END, REPLICATES, COMMANDS = "end-to-end", "replicates", "replicates-commands"
ONLINE = {"la_maml": ["algo=la_maml"], "er": ["algo=er", "algo.updates=5"], "mer": ["algo=mer", "algo.batches=5"]}
"""Rows of protocol online, named by the algorithm; its settings are those of rotated MNIST."""
GRADIENT_TASKS = 3
SEEDS = [0, 1, 2, 3, 4]
CPU_ENGINES, CUDA_ENGINES = ["vmap"], ["loop", "vmap", "compile", "cuda_graph"]


def engine_name(kind: str) -> str:
    return f"metacl_run, {kind}"


# -------------------------------------------------------------------------------------------------------- inside a worker


@dataclass
class Job:
    """What a worker can be asked for: one timed unit of work, the meta-gradient, the work of a row in FLOP."""

    unit: Callable[[], float]
    """Does one unit and returns its seconds."""
    gradient: Callable[[], list[torch.Tensor]] | None = None
    flops: Callable[[], float] | None = None
    notes: dict[str, Any] = field(default_factory=dict)


def timed(work: Callable[[], object], device: torch.device) -> float:
    if device.type != "cuda":
        begun = time.perf_counter()
        work()
        return time.perf_counter() - begun
    first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize(device)
    first.record()
    work()
    last.record()
    torch.cuda.synchronize(device)
    return first.elapsed_time(last) / 1e3


def peer_job(name: str, problem: Problem, device: torch.device) -> Job:
    peer = PEERS[name]
    network = stock_network(problem.ways).to(device)
    batch = sampled(problem, problem.tasks, torch.float32, device)
    optimizer = torch.optim.Adam(network.parameters(), lr=OUTER_LR)

    def step() -> None:
        optimizer.zero_grad()
        peer.gradient(network, problem, batch)
        optimizer.step()

    def gradient() -> list[torch.Tensor]:
        exact = stock_network(problem.ways).to(device, torch.float64)
        peer.gradient(exact, problem, sampled(problem, GRADIENT_TASKS, torch.float64, device))
        return [parameter.grad for parameter in exact.parameters() if parameter.grad is not None]

    def flops() -> float:
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter:
            loop(network, problem, tuple(part[:1] for part in batch))  # type: ignore[arg-type]
        return float(counter.get_total_flops() * problem.tasks)

    return Job(lambda: timed(step, device), gradient, flops)


def our_overrides(problem: Problem, device: torch.device) -> list[str]:
    """The command line of a row, after `metacl-run`."""
    algo = "fomaml" if problem.first_order else "maml"
    return [
        f"algo={algo}", "model=conv4", "data=glyphs", f"gpu={device.type}", f"data.ways={problem.ways}",
        f"algo.meta_batch_size={problem.tasks}", f"algo.inner_steps={problem.steps}", "algo.inner_lr=0.4",
        f"algo.outer_lr={OUTER_LR}",
    ]  # fmt: skip


def our_job(kind: str, problem: Problem, device: torch.device) -> Job:
    """The step as protocol `continual_meta` takes it: the shipped config, the forecast's chunk, one replicate."""
    from metacl_run.config.compose import compose_job
    from metacl_run.config.load import load
    from metacl_run.core.types import Episode
    from metacl_run.inner.engine import Engine
    from metacl_run.inner.forecast import chunk_for
    from metacl_run.models.base import Network
    from metacl_run.runtime.process_memory import keep_freed_memory

    keep_freed_memory()
    experiment = load(*compose_job([*our_overrides(problem, device), f"gpu.engine={kind}"]))
    algo, module = experiment.algo, experiment.model.build((1, 28, 28), problem.ways).to(device)
    network = Network(module, problem.ways)

    def episodes(tasks: int, dtype: torch.dtype) -> Episode:
        empty = torch.zeros(tasks, 0, 0, dtype=torch.int64, device=device)
        return Episode(*sampled(problem, tasks, dtype, device), empty)

    def start(dtype: torch.dtype) -> Any:
        stock = stock_network(problem.ways).to(device, dtype).parameters()
        params = {name: value.detach() for (name, _), value in zip(module.named_parameters(), stock, strict=True)}
        state = algo.start(network, params, torch.zeros(0))
        return torch.utils._pytree.tree_map(lambda leaf: leaf.unsqueeze(0).to(device), state)

    def stepper(engine: Engine) -> Callable[..., Any]:
        return engine.over_replicates(lambda state, batch: algo.meta_update(network, engine, 10**6, state, batch))

    state = start(torch.float32)
    batch = Episode(*(part.unsqueeze(0) for part in episodes(problem.tasks, torch.float32)))
    whole = Engine(kind=kind)  # type: ignore[arg-type]
    chunk, forecast = 1, 0
    if kind != "loop":
        first = [Episode(*(part[:, :n] for part in batch)) for n in (1, 2)]
        run = stepper(Engine(kind="vmap"))
        chunk, forecast = chunk_for(
            lambda n: run(state, first[n - 1]), episodes=problem.tasks, budget=experiment.gpu.memory_bytes
        )
    engine = Engine(kind=kind, chunk=chunk)  # type: ignore[arg-type]
    prepared = engine.prepare(stepper(engine))

    def step() -> None:
        nonlocal state
        state, _ = prepared(state, batch)

    def gradient() -> list[torch.Tensor]:
        meta = {"params": {name: value[0] for name, value in start(torch.float64)["meta"]["params"].items()}}

        def mean(few: Episode) -> Any:
            return whole.mean(lambda episode: algo.episode_update(network, meta, {}, episode).direction, few)

        return list(whole.prepare(mean)(episodes(GRADIENT_TASKS, torch.float64))["params"].values())

    notes = {"chunk": chunk, "forecast_mb": round(forecast / 2**20)}
    return Job(lambda: timed(step, device), gradient, notes=notes)


def convolution_job(problem: Problem, device: torch.device) -> Job:
    """The rate of the network's second convolution, the largest part of its work, in the fastest of the forms it is used in."""
    n, m = problem.ways, problem.tasks
    x, weight = torch.rand(n * m, 64, 14, 14, device=device), torch.rand(64, 64, 3, 3, device=device)
    grouped, weights = x.view(n, m * 64, 14, 14), weight.repeat(m, 1, 1, 1)
    flop = 2 * n * m * 64 * 64 * 9 * 14 * 14

    def unit() -> float:
        plain = timed(lambda: torch.conv2d(x, weight, padding=1), device)
        return min(plain, timed(lambda: torch.conv2d(grouped, weights, padding=1, groups=m), device))

    return Job(unit, flops=lambda: float(flop))


def glyph_pixels() -> torch.Tensor:
    from metacl_run.data.images.glyph_drawing import draw_glyphs

    drawn = draw_glyphs(num_classes=200, num_scripts=10, hands=20, image_size=28, seed=0)
    pixels = torch.as_tensor(drawn)
    return pixels.reshape(200, 20, 28, 28)


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


def online_setup(overrides: list[str], seeds: list[int], root: str | None, threads: int) -> Any:
    """The program's own learner and stream, loaded; nothing is written."""
    from metacl_run.config.compose import compose_job
    from metacl_run.config.load import load
    from metacl_run.protocols.online.setup import StreamSetup
    from metacl_run.protocols.run_context import RunContext
    from metacl_run.runtime.process_memory import keep_freed_memory
    from metacl_run.runtime.ranks import ALONE
    from metacl_run.storage.run_writer import SilentWriter

    keep_freed_memory()
    data = ["data=rotated_digits"] if root is None else ["data=rotated_mnist", f"data.root={root}"]
    experiment = load(*compose_job([*overrides, *data, "gpu=cpu", f"gpu.threads={threads}", f"seeds={seeds}"]))
    parts = {name: getattr(experiment, name) for name in ("algo", "model", "data", "gpu", "seeds", "insight")}
    calls = {"stop_requested": lambda: False, "started": lambda *_: None}
    stream = experiment.protocol.load(experiment.data, experiment.seeds)
    return StreamSetup.of(RunContext(**parts, stream=stream, store=SilentWriter(), ranks=ALONE, **calls))


def our_online_job(task: dict[str, Any]) -> Job:
    """The next observations of the stream; the replay buffer is full before the first is timed."""
    from metacl_run.protocols.online.trainer import StreamTrainer

    setup, at = online_setup(ONLINE[task["argument"]], SEEDS, task["root"], task["threads"]), 0
    trainer, total = StreamTrainer(setup), setup.num_tasks * setup.units_per_task
    learner = torch.utils._pytree.tree_map(lambda *leaves: torch.stack(leaves), *setup.initial_learners())

    def observe(count: int) -> None:
        nonlocal at, learner
        for _ in range(count):
            learner, _ = trainer.step(learner, at % total)
            at += 1

    observe(-(-setup.algo.memory // setup.algo.batch_size))
    return Job(lambda: timed(lambda: observe(task["updates"]), setup.device) / task["updates"])


def peer_online_job(task: dict[str, Any]) -> Job:
    import numpy as np

    setup = online_setup(ONLINE[task["argument"]], [0], task["root"], task["threads"])
    samples = setup.stream.gather(0, np.arange(setup.stream.samples_per_task * 2))
    peer = OnlineLoop(samples.x.flatten(1), samples.y, asdict(setup.algo), seed=0)
    step = getattr(peer, task["argument"])
    while len(peer.memory) < setup.algo.memory:
        peer.remember(*peer.next_batch())

    def observe() -> None:
        for _ in range(task["updates"]):
            step()

    return Job(lambda: timed(observe, torch.device("cpu")) / task["updates"])


def work_in_a_process(task: dict[str, Any]) -> None:
    """Serves the parent: reads one command a line, answers with one line of JSON."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else prints goes to stderr
    device = torch.device(task["device"])
    torch.set_num_threads(task["threads"])
    job = make_job(task, device)
    for line in sys.stdin:
        command, *argument = json.loads(line)
        answer: Any = None
        if command == "unit":
            answer = job.unit()
        elif command == "notes":
            answer = job.notes
        elif command == "flops" and job.flops is not None:
            answer = job.flops()
        elif command == "gradient" and job.gradient is not None:
            torch.save([g.detach().cpu() for g in job.gradient()], argument[0])
        elif command == "peak":
            from metacl_run.runtime.process_memory import peak_memory_mb

            answer = peak_memory_mb(device)
        print(json.dumps(answer), file=answers, flush=True)


def make_job(task: dict[str, Any], device: torch.device) -> Job:
    kind, argument = task["kind"], task["argument"]
    if kind == "online":
        return our_online_job(task)
    if kind == "online loop":
        return peer_online_job(task)
    if kind == "sequences":
        unit, gradient = (our_step_job if task["ours"] else released_step_job)(argument)
        return Job(unit, gradient)
    if kind == "sequences test":
        return Job(our_test_job() if task["ours"] else released_test_job())
    problem = Problem(**task["problem"])
    if kind == "peer":
        return peer_job(argument, problem, device)
    if kind == "ours":
        return our_job(argument, problem, device)
    if kind == "convolution":
        return convolution_job(problem, device)
    if kind == "end-to-end loop":
        return end_to_end_loop_job(argument, problem, task["updates"])
    if kind == "commands":
        return commands_job(["model=mlp", f"gpu={device.type}"], argument, task["threads"])
    overrides = our_overrides(problem, device)
    if kind == "replicates":
        overrides += ["model=mlp", "algo.meta_batch_size=8"]
    return our_run_job(overrides, argument, task["updates"], task["threads"])


# --------------------------------------------------------------------------------------------------------- in the parent


class Worker:
    """A process that does one job when told."""

    def __init__(self, task: dict[str, Any]) -> None:
        command = [sys.executable, __file__, "--worker", json.dumps(task)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *command: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())
        except (OSError, json.JSONDecodeError):
            raise SystemExit("benchmark: a worker failed; see its message above") from None

    def close(self) -> None:
        self._process.communicate()


@dataclass
class Line:
    """One implementation's result in a row; times in milliseconds."""

    name: str
    is_peer: bool
    times: list[float] = field(default_factory=list)
    peak_mb: float | None = None
    error: float | None = None
    missing: str | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.times)


def error_of(found: Path, expected: Path) -> float:
    """Largest error of any parameter's gradient, relative to the largest element of that parameter's gradient."""
    pairs = zip(torch.load(found, weights_only=True), torch.load(expected, weights_only=True), strict=True)
    return max(((f - e).abs().max() / e.abs().max()).item() for f, e in pairs)


def measure(tasks: dict[str, dict[str, Any]], lines: dict[str, Line], repeats: int, say: Callable[[str], None]) -> None:
    """Starts a worker for each task, lets each warm up, then takes `repeats` rounds through all of them."""
    workers: dict[str, Worker] = {}
    try:
        for name, task in tasks.items():
            say(f"warming up {name}")
            workers[name] = Worker(task)
            for _ in range(2):
                workers[name].ask("unit")
        for i in range(repeats):
            say(f"round {i + 1} of {repeats}")
            order = list(workers)
            for name in order[i % len(order) :] + order[: i % len(order)]:
                lines[name].times.append(1e3 * workers[name].ask("unit"))
        for name, worker in workers.items():
            lines[name].peak_mb, lines[name].notes = worker.ask("peak"), worker.ask("notes")
        with tempfile.TemporaryDirectory() as folder:
            for name, worker in workers.items():
                if "gradient" in tasks[name]:
                    say(f"meta-gradient of {name}")
                    worker.ask("gradient", str(Path(folder, f"{list(workers).index(name)}.pt")))
            exact = [Path(folder, f"{i}.pt") for i in range(len(workers))]
            reference = exact[list(workers).index("autograd loop")] if "autograd loop" in workers else None
            for name, path in zip(workers, exact, strict=True):
                if reference is not None and path.exists() and name != "autograd loop":
                    lines[name].error = error_of(path, reference)
        for name in tasks:
            if "flops" in tasks[name]:
                lines[name].notes["flops"] = workers[name].ask("flops")
    finally:
        for worker in workers.values():
            worker.close()


def meta_update_row(name: str, problem: Problem, args: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    common = {"device": args.device, "threads": args.threads, "problem": asdict(problem)}
    tasks: dict[str, dict[str, Any]] = {}
    lines: dict[str, Line] = {}
    for kind in args.engines:
        tasks[engine_name(kind)] = {**common, "kind": "ours", "argument": kind, "gradient": True}
    for peer_name, peer in PEERS.items():
        offered = peer.first_order or not problem.first_order
        missing = None if offered and peer.installed else ("does not offer it" if peer.installed else "not installed")
        lines[peer_name] = Line(peer_name, is_peer=True, missing=missing)
        if missing is None:
            tasks[peer_name] = {**common, "kind": "peer", "argument": peer_name, "gradient": True}
    tasks["autograd loop"]["flops"] = True
    tasks["convolution"] = {**common, "kind": "convolution", "argument": None, "flops": True}
    lines = {task: Line(task, is_peer=task in PEERS) for task in tasks} | lines
    measure(tasks, lines, args.repeats, say)
    convolution = lines.pop("convolution")
    rate = convolution.notes["flops"] / min(convolution.times) / 1e6  # GFLOP/s
    work = lines["autograd loop"].notes["flops"] / 1e9
    text = (
        f"{name}: {'FOMAML' if problem.first_order else 'MAML'}, {problem.ways}-way 1-shot 1-query, meta-batch "
        f"{problem.tasks}, {problem.steps} inner step{'s' * (problem.steps > 1)}, ms a meta-update\n"
        f"work {work:.1f} GFLOP; floor {1e3 * work / rate:.0f} ms at {rate:.0f} GFLOP/s, the best convolution seen meanwhile"
    )
    return {"row": name, "title": text, "lines": list(lines.values()), "gflop": work, "gflop_per_s": rate}


def end_to_end_row(args: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    problem, updates = ROWS["maml-5way"], args.updates
    common = {"device": "cpu", "threads": args.threads, "problem": asdict(problem), "updates": updates}
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
        "device": args.device, "threads": args.threads, "problem": asdict(ROWS["maml-5way"]),
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


def online_row(name: str, args: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    updates = 10 * args.updates if name == "mer" else args.updates
    common = {"device": "cpu", "threads": args.threads, "argument": name, "updates": updates, "root": args.root}
    ours, peer = f"metacl_run, {len(SEEDS)} seeds", "autograd loop, 1 seed"
    tasks = {ours: {**common, "kind": "online"}, peer: {**common, "kind": "online loop"}}
    lines = {line: Line(line, is_peer=line == peer) for line in tasks}
    measure(tasks, lines, args.repeats, say)
    stream = "rotated digits" if args.root is None else "rotated MNIST"
    text = f"{name}: {' '.join(ONLINE[name])}, MLP 784-100-100-10, {stream}, memory 200; ms an observation, sampling and\n"
    text += "memory included, evaluation not; a ratio above 1: five seeds take less than the loop takes for one"
    return {"row": name, "title": text, "lines": list(lines.values())}


def sequences_row(name: str, args: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    step = name in STEPS
    common: dict[str, Any] = {"device": "cpu", "threads": args.threads, "kind": "sequences" if step else "sequences test"}
    common |= {"argument": name} | ({"gradient": True} if step else {})
    tasks = {"metacl_run": {**common, "ours": True}, "autograd loop": {**common, "ours": False}}
    lines = {line: Line(line, is_peer=line == "autograd loop") for line in tasks}
    measure(tasks, lines, args.repeats, say)
    if step:
        text = f"{name}: {STEPS[name]['title']}; ms a meta-update"
    else:
        text = (
            f"{name}: {ORDERS} orders x {len(RATES)} rates of {CLASSES} of {POOL} classes, 15 images each, network as in oml\n"
        )
        text += "ms for each step of each sequence; ours with features and the test at the end, the loop's without any test"
    return {"row": name, "title": text, "lines": list(lines.values())}


def table_of(result: dict[str, Any]) -> Table:
    table = Table(title=result["title"], title_justify="left", title_style="bold")
    for header in ("implementation", "median", "min - max", "ratio", "peak MB", "error"):
        table.add_column(header, justify="left" if header == "implementation" else "right")
    peers = [line.median for line in result["lines"] if line.is_peer and line.missing is None]
    for line in result["lines"]:
        if line.missing is not None:
            table.add_row(line.name, line.missing)
            continue
        error = "" if line.error is None else f"{line.error:.0e}"
        digits = 0 if min(line.times) >= 20 else 1
        spread = f"{min(line.times):.{digits}f} - {max(line.times):.{digits}f}"
        ratio = f"{min(peers) / line.median:.2f}" if peers else ""
        table.add_row(line.name, f"{line.median:.{digits}f}", spread, ratio, f"{line.peak_mb:.0f}", error)
    return table


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*ROWS, END_TO_END, REPLICATES, COMMANDS, *ONLINE, *STEPS, TEST]
    parser.add_argument("--rows", nargs="+", default=names, choices=names, metavar="ROW", help=f"of {', '.join(names)}")
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
        work_in_a_process(json.loads(args.worker))
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

        if name in ROWS:
            problem = ROWS[name] if args.tasks is None else Problem(**{**asdict(ROWS[name]), "tasks": args.tasks})
            results.append(meta_update_row(name, problem, args, say))
        elif name in ONLINE:
            results.append(online_row(name, args, say))
        elif name in STEPS or name == TEST:
            results.append(sequences_row(name, args, say))
        else:
            results.append(end_to_end_row(args, say) if name == END_TO_END else replicates_row(name, args, say))
        console.print()
        console.print(table_of(results[-1]))
    if args.out is not None:
        content = {"command": command, "environment": environment, "threads": args.threads, "rows": results}
        args.out.write_text(json.dumps(content, default=asdict, indent=1) + "\n")


if __name__ == "__main__":
    main()

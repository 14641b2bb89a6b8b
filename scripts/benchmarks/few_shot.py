"""Meta-updates on few-shot episodes: ours with every engine, beside higher, TorchOpt and a plain autograd loop."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import torch

from benchmarks.few_shot_peers import OUTER_LR, PEERS, Problem, loop, sampled, stock_network
from benchmarks.measuring import REFERENCE, Job, Line, measure, timed

ROWS = {
    "maml-5way": Problem(ways=5, tasks=32, steps=1, first_order=False),
    "fomaml-5way": Problem(ways=5, tasks=32, steps=1, first_order=True),
    "maml-5way-5steps": Problem(ways=5, tasks=32, steps=5, first_order=False),
    "fomaml-5way-5steps": Problem(ways=5, tasks=32, steps=5, first_order=True),
    "maml-20way": Problem(ways=20, tasks=16, steps=1, first_order=False),
    "fomaml-20way": Problem(ways=20, tasks=16, steps=1, first_order=True),
}
GRADIENT_TASKS = 3


def measure_row(name: str, args: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    problem = ROWS[name] if args.tasks is None else replace(ROWS[name], tasks=args.tasks)
    common = {"module": "few_shot", "device": args.device, "threads": args.threads, "problem": asdict(problem)}
    tasks: dict[str, dict[str, Any]] = {}
    lines: dict[str, Line] = {}
    for kind in args.engines:
        tasks[f"metacl_run, {kind}"] = {**common, "kind": "ours", "argument": kind, "gradient": True}
    for peer_name, peer in PEERS.items():
        offered = peer.first_order or not problem.first_order
        missing = None if offered and peer.installed else ("does not offer it" if peer.installed else "not installed")
        lines[peer_name] = Line(peer_name, is_peer=True, missing=missing)
        if missing is None:
            tasks[peer_name] = {**common, "kind": "peer", "argument": peer_name, "gradient": True}
    tasks[REFERENCE]["flops"] = True
    tasks["convolution"] = {**common, "kind": "convolution", "argument": None, "flops": True}
    lines = {task: Line(task, is_peer=task in PEERS) for task in tasks} | lines
    measure(tasks, lines, args.repeats, say)
    convolution = lines.pop("convolution")
    rate = convolution.notes["flops"] / min(convolution.times) / 1e6  # GFLOP/s
    work = lines[REFERENCE].notes["flops"] / 1e9
    text = (
        f"{name}: {'FOMAML' if problem.first_order else 'MAML'}, {problem.ways}-way 1-shot 1-query, meta-batch "
        f"{problem.tasks}, {problem.steps} inner step{'s' * (problem.steps > 1)}, ms a meta-update\n"
        f"work {work:.1f} GFLOP; floor {1e3 * work / rate:.0f} ms at {rate:.0f} GFLOP/s, the best convolution seen meanwhile"
    )
    return {"row": name, "title": text, "lines": list(lines.values()), "gflop": work, "gflop_per_s": rate}


def make_job(task: dict[str, Any], device: torch.device) -> Job:
    problem, kind = Problem(**task["problem"]), task["kind"]
    if kind == "peer":
        return peer_job(task["argument"], problem, device)
    return our_job(task["argument"], problem, device) if kind == "ours" else convolution_job(problem, device)


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
    """The step as `protocols/continual_meta.py` takes it: the shipped config, the forecast's chunk, one replicate."""
    from metacl_run.config.compose import compose_job
    from metacl_run.config.load import load
    from metacl_run.core.types import Episode
    from metacl_run.inner.engine import Engine
    from metacl_run.inner.forecast import chunk_for
    from metacl_run.models.network import Network
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
    chunk, needed = 1, 0
    if kind != "loop":
        first = [Episode(*(part[:, :n] for part in batch)) for n in (1, 2)]
        run = stepper(Engine(kind="vmap"))
        chunk, needed, _ = chunk_for(
            lambda n: run(state, first[n - 1]), episodes=problem.tasks, budget=experiment.gpu.memory_bytes, device=device
        )
    engine = Engine(kind=kind, chunk=chunk)  # type: ignore[arg-type]
    prepared = engine.prepare_update(stepper(engine))

    def step() -> None:
        nonlocal state
        state, _ = prepared(state, batch)

    def gradient() -> list[torch.Tensor]:
        meta = {"params": {name: value[0] for name, value in start(torch.float64)["meta"]["params"].items()}}

        def mean(few: Episode) -> Any:
            return whole.mean(lambda episode: algo.episode_update(network, meta, {}, episode).direction, few)

        return list(whole.prepare(mean)(episodes(GRADIENT_TASKS, torch.float64))["params"].values())

    notes = {"chunk": chunk, "forecast_mb": round(needed / 2**20)}
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

"""The records of a run with `insight`, against what its checkpoint holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from metacl_run.config.load import Experiment
from metacl_run.core import randomness
from metacl_run.core.randomness import Purpose
from metacl_run.core.types import Params
from metacl_run.experiment import run
from metacl_run.models.network import initial_params
from metacl_run.protocols.insight import MOST_TASKS, some_tasks
from metacl_run.reporting import figures
from tests.support.runs import assert_same_run, records, stop_after
from tests.support.similarity import by_gram_matrices

ONLINE = [
    "algo=er",
    "data.num_tasks=3",
    "data.train_per_task=40",
    "data.test_per_task=30",
    "algo.memory=20",
    "algo.replay=5",
    "protocol.eval_every=2",
    "gpu.threads=1",
]
META = [
    "data.num_classes=40",
    "data.num_scripts=3",
    "data.num_tasks=3",
    "data.ways=3",
    "data.queries=2",
    "model.channels=3",
    "algo.meta_batch_size=16",
    "algo.inner_steps=1",
    "protocol.updates_per_task=2",
    "protocol.eval_episodes=2",
    "protocol.eval_every=1",
    "gpu.threads=1",
]


@pytest.fixture(autouse=True)
def _without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "draw", lambda directory: [])


def insights(directory: Path) -> list[dict[str, Any]]:
    return [record for record in records(directory) if record["kind"] == "insight"]


def checkpoint(directory: Path) -> dict[str, Any]:
    return torch.load(directory / "checkpoint.pt", weights_only=True)["content"]


def cosines(gradients: Iterable[Iterable[Tensor]]) -> np.ndarray:
    flat = [torch.cat([part.flatten() for part in gradient]).double().numpy() for gradient in gradients]
    return np.array([[a @ b / np.sqrt((a @ a) * (b @ b)) for b in flat] for a in flat])


def grown(params: Params) -> Params:
    return {name: value.clone().requires_grad_() for name, value in params.items()}


def test_without_it_nothing_is_recorded_and_nothing_kept(experiment: Callable[..., Experiment]) -> None:
    for tiny in (ONLINE, META):
        built = experiment(tiny=tiny)
        run(built)
        assert insights(built.directory) == []
        assert checkpoint(built.directory)["features"] == {}


def test_records_of_a_stream(experiment: Callable[..., Experiment]) -> None:
    built = experiment("insight=full", "seeds=[0,4]", tiny=ONLINE)
    assert run(built) == 0
    seen = insights(built.directory)
    assert [record["row"] for record in seen] == [1, 2, 3]  # nothing to say at a probe: no rates are learned
    for record in seen:
        matrix = np.array(record["alignment"]["cosine"])
        assert matrix.shape == (2, 3, 3)
        np.testing.assert_allclose(np.diagonal(matrix, axis1=1, axis2=2), 1, atol=1e-4)
        np.testing.assert_array_equal(matrix, matrix.swapaxes(1, 2))
    assert "drift" not in seen[0]
    assert [record["drift"]["tasks"] for record in seen[1:]] == [[0], [0, 1]]
    for record in seen[1:]:
        values = {layer: np.array(value) for layer, value in record["drift"]["cka"].items()}
        assert list(values) == ["body.0", "body.2", "head"]
        assert {value.shape for value in values.values()} == {(2, record["row"] - 1)}
        assert all(((value > 0.2) & (value < 1)).all() for value in values.values())


def test_light_leaves_the_features_out(experiment: Callable[..., Experiment]) -> None:
    built = experiment("insight=light", tiny=ONLINE)
    run(built)
    assert [set(record) & {"rates", "alignment", "drift"} for record in insights(built.directory)] == [{"alignment"}] * 3
    assert checkpoint(built.directory)["features"] == {}


def test_the_last_record_of_a_stream_follows_from_the_checkpoint(experiment: Callable[..., Experiment]) -> None:
    built = experiment("insight=full", "gpu.precision=float64", tiny=ONLINE)
    run(built)
    last, content = insights(built.directory)[-1], checkpoint(built.directory)
    params = grown({name: value[0] for name, value in content["learner"]["params"].items()})
    module, _ = initial_params(built.model, built.data.input_shape, 10, 0, torch.float64)
    stream = built.data.load([0])

    def gradient(task: int) -> tuple[Tensor, ...]:
        order = randomness.generator(Purpose.INSIGHT, 0, task).permutation(40)
        samples = stream.gather(0, 40 * task + order)
        logits = torch.func.functional_call(module, params, (samples.x.double(),))
        return torch.autograd.grad(cross_entropy(logits, samples.y), list(params.values()))

    np.testing.assert_allclose(last["alignment"]["cosine"][0], cosines(map(gradient, range(3))), atol=6e-5)
    for task in (0, 1):
        x = stream.test(task, None)[0].x.double().flatten(1)
        hidden = (x @ params["body.0.weight"].T + params["body.0.bias"]).relu().detach()
        expected = by_gram_matrices(content["features"][task][0]["body.0"].double(), hidden)
        assert last["drift"]["cka"]["body.0"][0][task] == pytest.approx(expected, abs=6e-5)


def test_rates_are_recorded_at_every_evaluation_and_gradients_are_the_outer_ones(
    experiment: Callable[..., Experiment],
) -> None:
    built = experiment("algo=meta_sgd", "insight=light", "gpu.precision=float64", tiny=META)
    run(built)
    seen, content = insights(built.directory), checkpoint(built.directory)
    assert [record["row"] for record in seen] == [0, None, 1, None, 2, None, 3]
    assert ["alignment" in record for record in seen] == [False, False, True, False, True, False, True]
    meta = {part: {name: value[0] for name, value in values.items()} for part, values in content["learner"]["meta"].items()}
    expected = meta["rates"]["head.weight"].flatten().tolist() + meta["rates"]["head.bias"].tolist()
    assert seen[-1]["rates"]["head"]["mean"] == pytest.approx([np.mean(expected)])
    assert seen[-1]["rates"]["head"]["median"] == pytest.approx([np.median(expected)])
    assert seen[0]["rates"]["head"]["mean"] != seen[-1]["rates"]["head"]["mean"]

    module, _ = initial_params(built.model, built.data.input_shape, 3, 0, torch.float64)
    stream, params = built.data.load([0]), grown(meta["params"])

    def loss(weights: Params, x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(torch.func.functional_call(module, weights, (x.double(),)), y)

    def gradient(task: int) -> tuple[Tensor, ...]:
        rngs = [randomness.generator(Purpose.INSIGHT, 0, task)]
        episodes = stream.sample(np.full((1, 16), task), "train", shots=built.data.shots, queries=2, rngs=rngs)
        losses = []
        for support_x, support_y, query_x, query_y, _ in zip(*(part[0] for part in episodes), strict=True):
            inner = torch.autograd.grad(loss(params, support_x, support_y), list(params.values()), create_graph=True)
            moved = {name: params[name] - meta["rates"][name] * g for name, g in zip(params, inner, strict=True)}
            losses.append(loss(moved, query_x, query_y))
        return torch.autograd.grad(torch.stack(losses).mean(), list(params.values()))

    np.testing.assert_allclose(seen[-1]["alignment"]["cosine"][0], cosines(map(gradient, range(3))), atol=6e-5)


@pytest.mark.parametrize(("algo", "tiny", "units"), [("er", ONLINE, 6), ("meta_sgd", META, 4)])
def test_a_continued_run_leaves_the_same_records(
    algo: str, tiny: list[str], units: int, experiment: Callable[..., Experiment]
) -> None:
    work = [f"algo={algo}", "insight=full", "seeds=[0,1]"]
    unbroken = experiment(*work, f"output_dir={experiment(tiny=tiny).output_dir / 'unbroken'}", tiny=tiny)
    assert run(unbroken) == 0
    broken = experiment(*work, tiny=tiny)
    stop_after(broken, units)  # within the second task, or right after it
    assert 0 in checkpoint(broken.directory)["features"]
    assert run(broken) == 0
    assert len(insights(broken.directory)) >= 3
    assert_same_run(broken.directory, unbroken.directory)


@pytest.mark.parametrize("tiny", [ONLINE, META], ids=["online", "continual_meta"])
def test_a_replicate_is_seen_as_in_its_single_run(tiny: list[str], experiment: Callable[..., Experiment]) -> None:
    together, alone = (
        experiment("insight=full", f"seeds={seeds}", "gpu.precision=float64", tiny=tiny) for seeds in ("[2,5]", "[5]")
    )
    run(together)
    run(alone)
    for both, one in zip(insights(together.directory), insights(alone.directory), strict=True):
        np.testing.assert_allclose(both["alignment"]["cosine"][1], one["alignment"]["cosine"][0], atol=1.1e-4)
        for layer, values in one.get("drift", {"cka": {}})["cka"].items():
            np.testing.assert_allclose(both["drift"]["cka"][layer][1], values[0], atol=1.1e-4)


def test_of_a_long_stream_tasks_spread_evenly_are_compared() -> None:
    assert some_tasks(4, MOST_TASKS) == [0, 1, 2, 3]
    assert some_tasks(MOST_TASKS, MOST_TASKS) == list(range(MOST_TASKS))
    some = some_tasks(100, MOST_TASKS)
    assert (len(some), some[0], some[-1]) == (MOST_TASKS, 0, 99)
    assert set(np.diff(some)) == {3, 4}


def test_where_probes_look_at_less_one_is_taken_at_the_end_of_a_task_too(experiment: Callable[..., Experiment]) -> None:
    built = experiment("protocol.probe_samples=7", tiny=ONLINE)
    run(built)
    evaluations = [record for record in records(built.directory) if record["kind"] == "eval"]
    assert [("probe" in record) for record in evaluations] == [record["row"] is not None for record in evaluations]
    params = {name: value[0] for name, value in checkpoint(built.directory)["learner"]["params"].items()}
    module, _ = initial_params(built.model, built.data.input_shape, 10, 0, torch.float32)
    for task, samples in enumerate(each[0] for each in (built.data.load([0]).test(task, None) for task in range(3))):
        right = (torch.func.functional_call(module, params, (samples.x,)).argmax(1) == samples.y).double()
        assert evaluations[-1]["accuracy"][0][task] == pytest.approx(float(right.mean()))
        assert evaluations[-1]["probe"][0][task] == pytest.approx(float(right[:7].mean()))
    for other in ("protocol.probe_samples=null", "protocol.eval_every=0"):
        built = experiment(other, tiny=ONLINE)
        run(built)
        assert not any("probe" in record for record in records(built.directory))

"""Whole runs whose rate falls within every task: against plain torch, and what an observation holds where none falls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import MultiStepLR

from metacl_run.config.load import Experiment
from metacl_run.config.run_identity import run_id
from metacl_run.experiment import run
from metacl_run.protocols.online.observations import Observations
from metacl_run.protocols.online.setup import StreamSetup
from tests.support.runs import context_of

STREAM = [
    *("data=split_glyphs", "data.num_classes=10", "data.num_scripts=2", "data.tasks_from=characters", "data.num_tasks=3"),
    *("data.classes_per_task=null", "data.image_size=8", "data.balance=none", "model.hidden=[6]", "gpu.threads=1"),
    *("protocol.epochs=2", "seeds=[0,1]", "algo.batch_size=10", "gpu.precision=float64"),
]
UNITS = [6, 4, 4]
"""Observations of each task in a pass."""


@pytest.fixture
def built(experiment: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Experiment]:
    monkeypatch.setattr("metacl_run.reporting.figures.draw", lambda _: [])
    monkeypatch.setattr("metacl_run.reporting.report.write", lambda _: None)
    return lambda *words: experiment(*words, *STREAM, tiny=[])


STEPS = ["algo.lr_schedule=steps", "algo.lr_drops=[0.5,0.7]", "algo.lr_drop_factor=0.1"]


def test_a_run_equals_plain_torch_with_a_scheduler_for_every_task(built: Callable[..., Experiment]) -> None:
    words = ["algo=sgd", "algo.momentum=0.9", "algo.lr=0.1", "algo.updates=2", *STEPS]
    trained = built(*words)
    assert run(trained) == 0
    weights = torch.load(trained.directory / "checkpoint.pt", weights_only=True)["content"]["learner"]["params"]
    setup = StreamSetup.of(context_of(built(*words)), 2)
    assert list(setup.pass_units.lengths) == UNITS
    for replicate, initial in enumerate(setup.initial_params):
        params = {name: value.clone().requires_grad_() for name, value in initial.items()}
        optimizer, unit = torch.optim.SGD(params.values(), lr=0.1, momentum=0.9), 0
        for length in UNITS:
            optimizer.param_groups[0]["lr"] = 0.1
            scheduler = MultiStepLR(optimizer, {6: [6, 9], 4: [4, 6]}[length], 0.1)  # of 12 and of 8 observations
            for _ in range(2 * length):
                samples = setup.gather(replicate, setup.batch_numbers(replicate, range(unit, unit + 1))[0]).cast(torch.float64)
                for _ in range(2):
                    optimizer.zero_grad()
                    outputs = torch.func.functional_call(setup.network.module, params, (samples.x,))
                    cross_entropy(outputs, samples.y).backward()
                    optimizer.step()
                scheduler.step()
                unit += 1
        for name, value in params.items():
            torch.testing.assert_close(weights[name][replicate], value.detach(), rtol=1e-8, atol=1e-10, msg=name)


@pytest.mark.parametrize("algo", ["er", "icarl"])
def test_the_share_of_an_observation_counts_both_passes_of_its_own_task(algo: str, built: Callable[..., Experiment]) -> None:
    words = [f"algo={algo}", "algo.memory=20", *(["algo.herding_samples=20"] if algo == "icarl" else [])]
    falls, constant = (StreamSetup.of(context_of(built(*words, *more)), 2) for more in (["algo.lr_schedule=linear"], []))
    expected = [place / (2 * length) for length in UNITS for place in range(2 * length)]
    observations, unused = Observations(falls), Observations(constant)

    def at(source: Observations, unit: int) -> Any:
        if algo == "er":
            return source.block(range(unit, unit + 1))
        return source.of_exemplars(unit, torch.full((2, 20), -1))

    shares = torch.cat([at(observations, unit).share for unit in range(28)])
    assert (shares.shape, shares.dtype) == ((28, 2), torch.float64)
    np.testing.assert_allclose(shares.numpy(), np.array(expected)[:, None].repeat(2, 1), rtol=1e-15)
    assert at(unused, 3).share.numel() == 0


def test_only_what_has_an_effect_is_part_of_the_run_id(built: Callable[..., Experiment]) -> None:
    plain = built("algo=er")
    without = {key: value for key, value in plain.resolved["algo"].items() if not key.startswith("lr_")}
    former = {**plain.resolved, "algo": without, "start_from": None}
    fingerprint = plain.data.source.fingerprint
    assert run_id(former, plain.ignored_by_run_id, fingerprint) == plain.run_id
    assert built("algo=er", "algo.lr_drops=[0.5]", "algo.lr_drop_factor=0.1").run_id == plain.run_id
    cosine, steps = built("algo=er", "algo.lr_schedule=cosine"), built("algo=er", "algo.lr_schedule=steps")
    assert built("algo=er", "algo.lr_schedule=cosine", "algo.lr_drops=[0.5]").run_id == cosine.run_id
    changed = [built("algo=er", "algo.lr_schedule=steps", f"algo.{one}") for one in ("lr_drops=[0.5]", "lr_drop_factor=0.1")]
    assert len({plain.run_id, cosine.run_id, steps.run_id, *(one.run_id for one in changed)}) == 5

"""Jobs that are composed together, beside each composed alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from metacl_run.config.compose import Composer, experiment_of
from metacl_run.core.errors import UserError

JOBS = [
    ["algo=maml", "algo.inner_lr=0.3"],
    ["algo=maml", "algo.inner_lr=0.2", "data.shots=3"],
    ["algo.inner_lr=0.2", "algo=maml", "data.shots=3"],
    ["algo=maml"],
    ["algo=er", "seeds=[0,1]", "protocol.epochs=2"],
    ["algo=er", "seeds=3", "debug=true"],
    ["algo=meta_sgd", "algo.inner_lr=null", "algo.rate_low=0.01"],
    ["algo=maml", "data=sinusoid", "algo.inner_steps=2"],  # with a file of configs/pair
    ["experiment=sinusoid_maml_10shot", "protocol.updates_per_task=7"],
    ["algo=oml", "protocol.schedule=[2,4,8]", "algo.outer_lr=1e-3"],
    ["algo=maml", "++algo.inner_steps=4"],
    ["algo=maml", "algo.inner_lr=0.2", "++algo.inner_lr=0.3"],
    ["algo=maml", "++algo.inner_lr=0.3", "algo.inner_lr=0.2"],
    ["algo=maml", "data=omniglot", "data.root='a folder'"],
    ["algo=maml", "logger=csv", "tags=[a,b]"],
]


def test_every_job_is_the_one_that_it_is_alone() -> None:
    composer = Composer(None)
    for job in JOBS:
        together, alone = composer.experiment_of(job), experiment_of(job)
        assert together.run_id == alone.run_id, job
        assert together.resolved == alone.resolved, job
        assert together.choices == alone.choices, job
        assert together.directory == alone.directory, job


@pytest.mark.parametrize(
    "job",
    [
        ["algo=maml", "algo.inner_lrr=0.3"],
        ["algo=maml", "algo.inner_lr=high"],
        ["algo=mamml"],
        ["algo=maml", "pair.x=3"],
        ["algo=maml", "~tags"],
        ["algo=maml", "data.ways=0", "protocol.eval_episodes=-1"],
        ["algo=maml", "algo.inner_lr=${nothing}"],
        ["algo"],
    ],
)
def test_a_mistake_has_the_same_message(job: list[str]) -> None:
    composer = Composer(None)
    composer.experiment_of(["algo=maml"])
    with pytest.raises(UserError) as together:
        composer.experiment_of(job)
    with pytest.raises(UserError) as alone:
        experiment_of(job)
    assert str(together.value) == str(alone.value)


def test_one_job_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    composer = Composer(None)
    first = composer.experiment_of(["algo=maml", f"output_dir={tmp_path}", "seeds=[5]", "tags=[x]", "algo.inner_steps=3"])
    second = composer.experiment_of(["algo=maml"])
    assert (first.seeds, first.algo.inner_steps) == ([5], 3)
    assert (second.seeds, second.algo.inner_steps, second.tags) == ([0], 1, [])

"""Whole runs on a fake card: nothing mixes devices, no step waits, every step can be captured and launches little."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from metacl_run.config.option_files import OptionFiles
from tests.device.fake_card import is_possible
from tests.device.fake_runs import FakeRun
from tests.support.settings import FUNCTION_LEARNERS, SEQUENCE_LEARNERS
from tests.support.small_runs import RECURRING, RECURRING_DYNAMICS

Run = Callable[..., FakeRun]

pytestmark = pytest.mark.skipif(not is_possible(), reason="needs g++")

FEW_SHOT = [
    *("data.num_classes=40", "data.num_scripts=2", "data.num_tasks=2", "data.ways=3", "model.channels=4", "model.blocks=1"),
    *("algo.meta_batch_size=3", "protocol.updates_per_task=2", "protocol.eval_episodes=4", "protocol.eval_every=0"),
    *("protocol.log_every=2", "gpu.threads=1"),
]
STREAM = [
    *("data.num_tasks=2", "data.train_per_task=20", "data.test_per_task=20", "data.train_hands=4", "data.test_hands=4"),
    *("data.image_size=8", "model.hidden=[12]", "protocol.log_every=2", "gpu.threads=1"),
]
SEQUENCES = [
    *("data.num_classes=30", "data.num_scripts=2", "data.images_per_class=6", "data.test_examples=2", "protocol.updates=2"),
    *("protocol.schedule=[2,3]", "protocol.orders=2", "protocol.selection_orders=2", "protocol.rates=[0.1,0.01]"),
    *("protocol.eval_every=0", "protocol.log_every=2", "gpu.threads=1"),
]
CLASSES_RECUR = [setting for setting in RECURRING if not setting.startswith("algo")]
PRETRAINING = ["algo.pretrain_updates=3", "algo.meta_batch_size=2"]
PRETRAINED = ("anil_osaka", "continual_maml", "finetune_osaka", "maml_osaka", "prolonged_maml", "sgd_osaka")
SETTINGS = {"continual_meta": FEW_SHOT, "online": STREAM, "meta_continual": SEQUENCES, "osaka": CLASSES_RECUR}
FEW_FUNCTIONS = [
    *("data=incremental_sine", "data.meta_train_functions=12", "data.meta_test_functions=8", "data.together=4"),
    "algo.classes=3",
]
OF_ALGORITHM = {
    **SEQUENCE_LEARNERS,
    **dict.fromkeys(PRETRAINED, PRETRAINING),
    **dict.fromkeys(FUNCTION_LEARNERS, FEW_FUNCTIONS),
}
MOST_LAUNCHES = {"maml": 118, "er": 15, "mer": 15, "la_maml": 344, "oml": 150}
"""Launches of a captured step at these sizes, which may fall and not rise."""
MOST_LAUNCHES_OF_CONV4 = 247
"""Of MAML's, in one inner step, with the four blocks of the papers' network; neither its width nor the episodes matter."""


def _algorithms() -> dict[str, str]:
    files = OptionFiles()
    return {algo.name: files.algo_kind(algo) for algo in files.all("algo")}


ALGORITHMS = _algorithms()


def settings(algo: str) -> list[str]:
    if algo == "mole":
        return [*RECURRING_DYNAMICS, "algo=mole"]
    overrides = [*SETTINGS[ALGORITHMS[algo]], *OF_ALGORITHM.get(algo, []), f"algo={algo}"]
    if algo in FUNCTION_LEARNERS:
        overrides = [line for line in overrides if not line.startswith(("data.num_", "data.images_", "data.test_"))]
    return overrides


def assert_nothing_waits(run: FakeRun) -> None:
    for name in ("unit", "graph of unit"):
        if name in run.phases:
            assert not run.phases[name].waits
            assert not run.phases[name].pageable
    assert not run.phases["evaluation"].pageable if "evaluation" in run.phases else True


@pytest.mark.parametrize("algo", MOST_LAUNCHES)
def test_a_step_is_captured_waits_for_nothing_and_launches_little(algo: str, fake_run: Run) -> None:
    run = fake_run([*settings(algo), "protocol.log_every=1"])  # a graph of one observation
    assert run.status == "completed"
    assert_nothing_waits(run)
    assert not [name for name in run.phases["graph of unit"].operations if name.startswith("grouped")]
    assert run.phases["graph of unit"].launches <= MOST_LAUNCHES[algo]
    # Beside the graph: gathering what it learns from, a copy of that and of the metrics; and once, which metrics there are.
    assert run.phases["unit"].launches <= 40 * run.phases["unit"].calls + MOST_LAUNCHES[algo]


def test_a_graph_holds_the_observations_up_to_a_record(fake_run: Run) -> None:
    run = fake_run([*settings("er"), "algo.batch_size=1", "data.train_per_task=24", "protocol.log_every=16"])
    # 24 observations of each task: 16 and 8, in each task, since the end of a task is a record as well.
    assert run.phases["unit"].calls == run.phases["unit"].operations["graph"] == 4
    assert run.phases["graph of unit"].calls == 2


def test_the_tasks_are_evaluated_in_one_launch(fake_run: Run) -> None:
    run = fake_run(settings("maml"))
    assert run.phases["evaluation"].operations["graph"] == run.phases["evaluation"].calls == 3


@pytest.mark.slow
def test_conv4_launches_little(fake_run: Run) -> None:
    run = fake_run([*settings("maml"), "model=conv4", "model.blocks=4"])
    assert run.phases["graph of unit"].launches <= MOST_LAUNCHES_OF_CONV4


@pytest.mark.parametrize("engine", ["vmap", "cuda_graph"])
@pytest.mark.parametrize("algo", [pytest.param("maml_osaka", marks=pytest.mark.slow), "mole"])
def test_a_stream_where_tasks_recur(algo: str, engine: str, fake_run: Run) -> None:
    run = fake_run(settings(algo), [f"gpu.engine={engine}"])
    assert run.status == "completed"
    assert_nothing_waits(run)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["vmap", "cuda_graph"])
@pytest.mark.parametrize("algo", ALGORITHMS)
def test_every_algorithm(algo: str, engine: str, fake_run: Run) -> None:
    run = fake_run(settings(algo), [f"gpu.engine={engine}"])
    assert run.status == "completed"
    assert_nothing_waits(run)


@pytest.mark.parametrize(
    "overrides",
    [
        [*FEW_SHOT, "seeds=[0,1]", "insight=full", "data.shift=permute", "data.rotations=true", "data.num_classes=24"],
        pytest.param(
            [*STREAM, "algo=er", "data=split_glyphs", "data.scenario=task", "seeds=[0,1,2]", "insight=light"],
            marks=pytest.mark.slow,
        ),
    ],
    ids=["few_shot", "stream"],
)
def test_seeds_masks_shifts_rotations_and_insight(overrides: list[str], fake_run: Run) -> None:
    if "data=split_glyphs" in overrides:
        overrides = [line for line in overrides if "hands" not in line and "per_task" not in line]
    run = fake_run(overrides)
    assert run.status == "completed"
    assert_nothing_waits(run)


@pytest.mark.slow
def test_bf16_is_captured(fake_run: Run) -> None:
    run = fake_run(FEW_SHOT, ["gpu.precision=bf16"])
    assert run.status == "completed"
    assert run.phases["graph of unit"].operations["_to_copy"] > 20  # of parameters
    assert_nothing_waits(run)

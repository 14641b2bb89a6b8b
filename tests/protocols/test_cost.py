"""What training cost: operations beside the count by hand, examples, and that counting changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metacl_run.comparison.configurations import configurations
from metacl_run.comparison.entries import read_entries
from metacl_run.comparison.section_costs import cost_figure, costs_grid
from metacl_run.comparison.section_scores import score_section
from metacl_run.comparison.sections import sections
from metacl_run.config.load import Experiment
from metacl_run.experiment import run
from metacl_run.protocols import cost
from tests.support.settings import SMALL_STREAM, TINY

LONGER = ["algo.batch_size=2", "data.train_per_task=80", "data.num_tasks=3"]
BATCH, PIXELS, HIDDEN, OUTPUTS, UNITS = 2, 64, 12, 10, 120


@pytest.fixture(autouse=True)
def _nothing_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metacl_run.reporting.figures.draw", lambda _: [])
    monkeypatch.setattr("metacl_run.reporting.report.write", lambda _: None)


def summary_of(built: Experiment) -> dict[str, Any]:
    assert run(built) == 0
    summary: dict[str, Any] = json.loads((built.directory / "summary.json").read_text())
    return summary


def test_operations_of_a_perceptron_are_those_counted_by_hand(experiment: Callable[..., Experiment]) -> None:
    """A product of [B, m] and [m, n] is 2 B m n; a layer has one forward, one for its weights, one for its inputs."""
    built = experiment("algo=sgd", "algo.updates=1", "seeds=[0,1]", *LONGER, tiny=SMALL_STREAM)
    first, second = 2 * BATCH * PIXELS * HIDDEN, 2 * BATCH * HIDDEN * OUTPUTS
    by_hand = UNITS * (2 * first + 3 * second)
    assert summary_of(built)["cost"] == {"units": UNITS, "examples": UNITS * BATCH, "flops": by_hand}


def test_replayed_examples_count(experiment: Callable[..., Experiment]) -> None:
    built = experiment("algo=er", "algo.updates=3", "algo.replay=4", *LONGER, tiny=SMALL_STREAM)
    assert summary_of(built)["cost"]["examples"] == UNITS * (BATCH + 3 * 4)


@pytest.mark.parametrize(
    ("algo", "examples"),
    [
        (["algo=multitask", "algo.updates=2"], UNITS * 2 * BATCH),  # its draws take the place of the batch
        (["algo=gem", "algo.memories_per_task=5"], UNITS * BATCH + 40 * (0 + 1 + 2) * 5),  # of tasks that are over
        (["algo=a_gem", "algo.memories_per_task=5", "algo.replay=4"], UNITS * (BATCH + 4)),
    ],
)
def test_what_is_learned_from_is_what_counts(algo: list[str], examples: int, experiment: Callable[..., Experiment]) -> None:
    assert summary_of(experiment(*algo, *LONGER, tiny=SMALL_STREAM))["cost"]["examples"] == examples


def test_the_ends_of_tasks_count_beside_the_units(experiment: Callable[..., Experiment]) -> None:
    """Retraining is as many updates more as it has batches; the network has outputs for each task, and the last is over."""
    shape = ["data=split_glyphs", "data.scenario=task", "data.num_classes=12", "data.num_scripts=3", "data.tasks_from=scripts"]
    sizes = ["data.num_tasks=3", "data.image_size=8", "data.test_examples=2", "algo.batch_size=1", "algo.retrain_samples=10"]
    common = [*shape, *sizes, "model=mlp_small", "model.hidden=[6]", "protocol.eval_every=0", "gpu.threads=1"]
    costs = [
        summary_of(experiment("algo=packnet", f"algo.retrain_passes={passes}", *common, tiny=[]))["cost"] for passes in (1, 5)
    ]
    units = costs[0]["units"]
    of_update = costs[0]["flops"] / (units + 3 * 10)
    assert costs[1]["flops"] / of_update == pytest.approx(units + 5 * 3 * 10)
    assert [cost["examples"] for cost in costs] == [units + 3 * 10] * 2


def test_pretraining_and_stream_count_each_for_itself(experiment: Callable[..., Experiment]) -> None:
    sizes = ["data.ways=3", "data.shots=2", "data.queries=4", "algo.meta_batch_size=5", "protocol.steps=60"]
    shape = ["data=recurring_glyphs", "data.num_classes=30", "data.image_size=8", "model=mlp_small", "model.hidden=[6]"]
    common = [*sizes, *shape, "protocol.log_every=20", "gpu.threads=1"]
    costs = [
        summary_of(experiment("algo=maml_osaka", f"algo.pretrain_updates={updates}", *common, tiny=[]))["cost"]
        for updates in (50, 100)
    ]
    assert [cost["examples"] for cost in costs] == [updates * 5 * 3 * (2 + 4) + 60 * 3 * 2 for updates in (50, 100)]
    of_update = (costs[1]["flops"] - costs[0]["flops"]) / 50  # of 5 episodes, through their inner loops
    of_step = costs[0]["flops"] / 60 - 50 / 60 * of_update
    assert of_update > 5 * of_step > 0


def test_examples_of_episodes(experiment: Callable[..., Experiment]) -> None:
    built = experiment("algo=maml", "data.shots=2", "data.queries=5", tiny=TINY)
    result = summary_of(built)["cost"]
    assert result == {"units": 8, "examples": 8 * 3 * 3 * (2 + 5), "flops": None}  # too few units to be counted


def test_counting_changes_no_number(experiment: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch) -> None:
    counted = experiment("algo=la_maml", *LONGER, tiny=SMALL_STREAM)
    whole = summary_of(counted)
    monkeypatch.setattr(cost, "FEWEST_UNITS", 10**9)
    not_counted = experiment("algo=la_maml", *LONGER, f"output_dir={counted.output_dir / 'again'}", tiny=SMALL_STREAM)
    again = summary_of(not_counted)
    assert whole["cost"]["flops"] > 0
    assert again["cost"]["flops"] is None
    assert whole["metrics"] == again["metrics"]


def test_a_comparison_has_them_in_a_table_and_a_figure(experiment: Callable[..., Experiment]) -> None:
    directories: list[Path] = []
    for algo in ("sgd", "er"):
        built = experiment(f"algo={algo}", *LONGER, tiny=SMALL_STREAM)
        summary_of(built)
        directories.append(built.directory)
    entries, refused = read_entries(directories)
    assert not refused
    (section,) = sections(configurations(entries))
    scores = score_section(section, [])
    grid = costs_grid(scores)
    assert grid is not None
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in grid.rows}
    assert rows["sgd"][:2] == ["120", "240"]
    assert rows["er"][:2] == ["120", f"{UNITS * (BATCH + 5 * 10):,}"]
    figure = cost_figure(scores)
    assert figure is not None
    panels = figure.draw().axes
    assert [axes.get_xlabel() for axes in panels] == ["examples read", "operations", "seconds of training"]
    drawn = {line.get_label(): line.get_xdata()[0] for line in panels[1].lines if str(line.get_label()) in rows}
    panels[0].figure.draw_without_rendering()
    labels = [text.get_text() for axes in panels for text in axes.xaxis.get_ticklabels(which="both")]
    assert any(labels)
    assert not any("$" in text for text in labels)
    flops = {entry.settings["algo"]: entry.cost.flops for entry in entries}
    assert drawn == flops

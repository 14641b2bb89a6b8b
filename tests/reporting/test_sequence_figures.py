"""Figures of runs under `meta_continual`: there when the files support them, and showing the numbers of the files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from metacl_run.layout.style import BLUE, GREEN, GREY, INK, ORANGE
from metacl_run.reporting import figures
from metacl_run.reporting.figures import figures_of
from metacl_run.reporting.figures.choice_of_rate import chosen_rates
from metacl_run.reporting.figures.representation import MOST_EXAMPLES, rectangle
from metacl_run.reporting.figures.sequence_accuracy import thinned_ticks
from metacl_run.reporting.phrases import subtitle
from metacl_run.scoring.intervals import interval95
from metacl_run.storage.stored_run import StoredRun
from tests.support.figures import axes_of, text_of
from tests.support.stored_sequences import RATES, build_sequences

META_TEST = {"sequence_accuracy", "forgetting_curve", "accuracy_matrix", "choice_of_rate", "representation"}
TRAINING = {"probes", "training_loss"}


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    return lambda **settings: build_sequences(tmp_path / "run", **settings)


def lines_of(axes: Axes, colour: str, points: int) -> list[np.ndarray]:
    return [np.array(line.get_ydata()) for line in axes.lines if line.get_color() == colour and len(line.get_xdata()) == points]


def content_of(run: StoredRun) -> dict[str, Any]:
    return json.loads((run.directory / "summary.json").read_text())["meta_test"]


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, META_TEST | TRAINING),
        ({"replicates": 3, "tuned_on": "test", "gate": True}, META_TEST | TRAINING | {"gate_activity"}),
        ({"lengths": (10, 20, 50, 75, 100, 200, 300, 400, 500, 600), "joint": False}, META_TEST | TRAINING),
        ({"rates": [0.1], "tuned_on": None, "inside": False}, {*TRAINING, *META_TEST} - {"choice_of_rate", "representation"}),
        ({"updates": 0, "rates": None, "tuned_on": None}, META_TEST - {"choice_of_rate"}),
        ({"lengths": (20,), "orders": 1, "units": 7}, META_TEST - {"accuracy_matrix"} | TRAINING),
        ({"lengths": (20,), "orders": 4}, META_TEST - {"accuracy_matrix"} | TRAINING),
        ({"lengths": (2, 3), "joint": False, "orders": 1, "replicates": 2}, META_TEST | TRAINING),
        ({"stop": 230, "status": "interrupted", "replicates": 2}, TRAINING),
        ({"stop": 50, "status": "diverged"}, {"training_loss"}),
        ({"stop": 0, "status": "failed"}, set()),
    ],
)
def test_every_kind_of_run(make: Callable[..., Path], settings: dict[str, Any], names: set[str]) -> None:
    paths = figures.draw(StoredRun(make(**settings)))
    assert {path.stem for path in paths} == names
    for path in paths:
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert min(image.size) > 300
                assert len(image.convert("RGB").getcolors(1 << 20)) > 20


def test_bytes_repeat(make: Callable[..., Path]) -> None:
    run = StoredRun(make(replicates=2, gate=True))
    first = [path.read_bytes() for path in figures.draw(run)]
    assert first == [path.read_bytes() for path in figures.draw(run)]


def test_accuracy_against_length_is_the_mean_over_all_orders_of_all_seeds(make: Callable[..., Path]) -> None:
    run = StoredRun(make(replicates=3))
    content = content_of(run)
    (axes,) = axes_of(run, "sequence_accuracy")
    for name, colour in (
        ("accuracy", BLUE),
        ("memory", ORANGE),
        ("joint", INK),
    ):
        values = np.array(content[name])  # [R, S, O]
        drawn = lines_of(axes, colour, len(content["lengths"]))
        np.testing.assert_allclose(drawn[0], values.mean(axis=(0, 2)))
    area = axes.collections[0].get_paths()[0].vertices
    low, high = interval95(np.array(content["accuracy"]).mean(axis=2)).T  # over seeds
    assert area[:, 1].min() == pytest.approx(low.min())
    assert area[:, 1].max() == pytest.approx(high.max())
    chance = next(line for line in axes.lines if line.get_color() == GREY and len(line.get_xdata()) > 20)
    np.testing.assert_allclose(np.array(chance.get_ydata()) * chance.get_xdata(), 1.0)
    untrained = np.array(content["untrained"]["accuracy"]).mean(axis=(0, 2))
    np.testing.assert_allclose(lines_of(axes, GREEN, len(content["lengths"]))[0], untrained)
    names = ["chance", "held out", "memory", "joint training", "random features"]
    assert [text.get_text().partition("\u00a0·\u00a0")[0] for text in axes.texts] == names
    assert "5 orders (joint training: 2) of each of 3 seeds" in text_of(run, "sequence_accuracy").caption
    assert [int(tick) for tick in axes.get_xticks()] == [10, 50, 100, 200]


def test_the_forgetting_curve_starts_with_the_class_learned_last(make: Callable[..., Path]) -> None:
    run = StoredRun(make(lengths=(10, 15)))  # too short to smooth
    (axes,) = axes_of(run, "forgetting_curve")
    expected = np.array(content_of(run)["by_place"]["accuracy"])[0, ::-1]
    for drawn in lines_of(axes, BLUE, 15):
        np.testing.assert_allclose(drawn, expected)
    caption = text_of(run, "forgetting_curve").caption
    assert "Running mean" not in caption
    longer = StoredRun(make(lengths=(10, 200)))
    assert "over 10 neighbours" in text_of(longer, "forgetting_curve").caption


def test_the_rates_chosen_are_ringed_on_the_curve_of_their_length(make: Callable[..., Path]) -> None:
    run = StoredRun(make(replicates=2, rates=RATES[::-1]))  # candidates in any order
    content = content_of(run)
    (axes,) = axes_of(run, "choice_of_rate")
    rings = [line for line in axes.lines if line.get_markerfacecolor() == "none"]
    seen = {(10 ** line.get_xdata()[0], line.get_ydata()[0]) for line in rings}
    mean = np.array(content["selection"]).mean(axis=0)
    assert len(rings) == len(content["lengths"])  # the seeds agree
    for row, rate in enumerate(content["chosen"][0]):
        expected = mean[row, content["rates"].index(rate)]
        assert any(x == pytest.approx(rate) and y == pytest.approx(expected) for x, y in seen)
    run.summary["meta_test"]["chosen"][1][0] = 0.01
    assert chosen_rates(load_again(run), 0) == [(0.001, 0.5), (0.01, 0.5)]


def load_again(run: StoredRun) -> Any:
    (run.directory / "summary.json").write_text(json.dumps(run.summary))
    return StoredRun(run.directory).sequences.meta_test  # type: ignore[union-attr]


def test_probes_are_drawn_against_meta_updates(make: Callable[..., Path]) -> None:
    run = StoredRun(make(replicates=2))
    (axes,) = axes_of(run, "probes")
    line = next(line for line in axes.lines if line.get_color() == BLUE)
    assert list(line.get_xdata()) == [100, 200, 300, 400]
    np.testing.assert_allclose(line.get_ydata(), 0.7 - 0.5 * np.exp(-np.array([100, 200, 300, 400]) / 200) + 0.005)
    assert axes.get_xlim() == (0, 400)
    assert "chance 0.05" in {text.get_text() for text in axes.texts}


def test_meta_training_is_one_phase_however_long_the_schedule(make: Callable[..., Path]) -> None:
    run = StoredRun(make(lengths=(10, 50, 100, 200, 300)))
    assert (run.num_tasks, run.num_training_parts) == (5, 1)
    (axes,) = axes_of(run, "training_loss")
    assert axes.get_xlim() == (0, 400)
    assert not axes.patches  # no strip of tasks


def test_the_matrix_names_the_parts_of_the_sequence(make: Callable[..., Path]) -> None:
    axes = axes_of(StoredRun(make()), "accuracy_matrix")[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1\nto 10", "11\nto 50", "51\nto 100", "101\nto 200"]
    assert axes.get_yticklabels()[2].get_text() == "after classes 11 to 50"


def test_units_are_the_cells_of_a_rectangle(make: Callable[..., Path]) -> None:
    run = StoredRun(make(units=96))
    left, *right = axes_of(run, "representation")[: 1 + MOST_EXAMPLES]
    inside = content_of(run)["representation"]
    np.testing.assert_allclose(left.images[0].get_array().reshape(-1), inside["mean"][0])
    assert left.images[0].get_array().shape == (8, 12)
    dead = np.ma.filled(left.images[1].get_array(), np.nan).reshape(-1)
    assert np.nansum(dead) == inside["dead"][0] * 96
    assert len(right) == MOST_EXAMPLES
    np.testing.assert_allclose(right[1].images[0].get_array().reshape(-1), inside["examples"][0][1])
    caption = text_of(run, "representation").caption
    assert f"{inside['active'][0]:.1%} of the 96 units" in caption
    assert f"{inside['dead'][0]:.1%} are dead" in caption


@pytest.mark.parametrize(("count", "shape"), [(2304, (48, 48)), (300, (15, 20)), (1, (1, 1)), (7, (2, 4)), (101, (10, 11))])
def test_rectangles_are_near_a_square(count: int, shape: tuple[int, int]) -> None:
    assert rectangle(count) == shape


def test_ticks_keep_apart() -> None:
    assert thinned_ticks(np.array([10, 50, 75, 100, 200, 600]), 30) == [10, 50, 100, 200, 600]
    assert thinned_ticks(np.array([20]), 1) == [20]


def test_gate_units_are_in_the_order_of_their_mean_activity(make: Callable[..., Path]) -> None:
    run = StoredRun(make(gate=True, replicates=2))
    axes = axes_of(run, "gate_activity")[0]
    shown = np.array(axes.images[0].get_array())
    assert (np.diff(shown.mean(axis=0)) <= 1e-12).all()
    expected = np.array(content_of(run)["gate"]["activity"][0])
    np.testing.assert_allclose(np.sort(shown, axis=None), np.sort(expected, axis=None))
    assert "seed 0" in text_of(run, "gate_activity").caption


def test_a_rate_tuned_on_test_is_said_in_every_caption_about_accuracy(make: Callable[..., Path]) -> None:
    about = {"sequence_accuracy", "forgetting_curve", "accuracy_matrix", "choice_of_rate"}
    for tuned_on in ("test", "train"):
        run = StoredRun(make(tuned_on=tuned_on))
        marked = {figure.name for figure in figures_of(run) if "Learning rate tuned on test." in figure.text.caption}
        assert marked == (about if tuned_on == "test" else set())
        assert ("learning rate tuned on test" in subtitle(run)) == (tuned_on == "test")
        assert "5-way" not in subtitle(run)


def test_learned_rates_are_drawn_over_the_one_phase(make: Callable[..., Path]) -> None:
    run_dir = make()
    with open(run_dir / "metrics.jsonl", "a") as file:
        for unit in (100, 400):
            rates = {"head": {"mean": [0.1], "low": [0.0], "median": [0.1], "high": [0.2]}}
            file.write(
                json.dumps({"kind": "insight", "unit": unit, "task": 0, "wall_s": 1.0, "row": None, "rates": rates}) + "\n"
            )
    assert run_dir / "figures" / "learned_rates.png" in figures.draw(StoredRun(run_dir))


def test_a_probe_repeated_by_a_continued_run_counts_once(make: Callable[..., Path]) -> None:
    run_dir = make()
    probe = {"kind": "probe", "unit": 400, "task": 0, "wall_s": 1.0, "length": 20, "accuracy": [0.25], "memory": [None]}
    with open(run_dir / "metrics.jsonl", "a") as file:
        file.write(json.dumps(probe) + "\n")
    found = StoredRun(run_dir).sequences
    assert found is not None
    assert list(found.probe_units) == [100, 200, 300, 400]
    assert found.probe_held_out[0, -1] == 0.25
    assert np.isnan(found.probe_memory[0, -1])
    figures.draw(StoredRun(run_dir))

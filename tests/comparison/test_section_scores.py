"""The numbers in the tables against the same computed by hand from what the runs hold."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metacl_run.comparison.compare import compare
from metacl_run.comparison.csv_files import csv_files
from metacl_run.comparison.section_curves import curve, curve_figures
from metacl_run.comparison.section_grids import iqm_grid, metrics_grid, pairs_grid
from metacl_run.comparison.section_scores import ALL_PAIRS_UP_TO
from metacl_run.core.errors import UserError
from tests.comparison.conftest import matrices, write_run
from tests.support.stored_runs import build_run
from tests.support.stored_sequences import build_sequences

SEEDS = list(range(7))


def finals(directory: Path) -> np.ndarray:
    return np.load(directory / "accuracy_matrix.npy")[:, -1].mean(axis=1)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_means_interquartile_means_and_pairs_by_hand(tmp_path: Path, run: Callable[..., Path]) -> None:
    maml = finals(run("a", 0.7, seeds=SEEDS))
    er = finals(run("b", 0.72, algo="er", seeds=SEEDS[1:]))
    sgd = finals(run("c", 0.2, algo="sgd", seeds=[0, 1, 2]))
    run("d", 0.1, algo="si", seeds=[0, 1])
    (scores,) = compare([tmp_path], ["accuracy"]).sections
    files = {name: rows(text) for name, text in csv_files([scores]).items()}

    assert [row["algorithm"] for row in files["scores.csv"]] == ["er", "maml", "sgd", "si"]
    by_algo = {row["algorithm"]: row for row in files["scores.csv"]}
    assert float(by_algo["maml"]["mean"]) == pytest.approx(maml.mean())
    assert float(by_algo["maml"]["iqm"]) == pytest.approx(np.sort(maml)[1:6].mean())
    assert float(by_algo["er"]["iqm"]) == pytest.approx(np.sort(er)[1:5].mean())
    half = 2.4469119 * maml.std(ddof=1) / 7**0.5  # Student's t of 6 degrees of freedom
    assert [float(by_algo["maml"][end]) for end in ("low", "high")] == pytest.approx([maml.mean() - half, maml.mean() + half])
    assert (by_algo["si"]["low"], by_algo["si"]["high"]) == ("", "")
    values = [float(row["value"]) for row in files["seeds.csv"] if row["algorithm"] == "maml"]
    assert values == maml.tolist()

    differences = er - maml[1:]
    signs = np.array(list(itertools.product((-1, 1), repeat=6)))
    p = (np.abs(signs @ differences) >= abs(differences.sum()) - 1e-12).mean()
    first, second = files["pairs.csv"]
    assert (first["first"], first["second"], first["seeds"]) == ("er", "maml", "6")
    assert float(first["mean"]) == pytest.approx(differences.mean())
    assert float(first["p"]) == float(first["p_holm"]) == pytest.approx(p)  # the only pair with seeds enough
    assert (second["first"], second["second"], second["seeds"], second["p"]) == ("maml", "sgd", "3", "")
    difference, half = maml[:3] - sgd, 4.3026527 * (maml[:3] - sgd).std(ddof=1) / 3**0.5
    assert float(second["high"]) == pytest.approx(difference.mean() + half)
    grid = pairs_grid(scores)
    assert grid is not None
    assert [row[4].text for row in grid.rows[1:]] == ["too few seeds"]
    assert any("fewer than 6 common seeds" in note for note in grid.notes)


def test_rows_of_one_seed_have_no_best_no_pairs_and_no_p(run: Callable[..., Path]) -> None:
    run("a", 0.7)
    (scores,) = compare([run("b", 0.6, algo="er").parent]).sections
    assert pairs_grid(scores) is None
    grid = metrics_grid(scores)
    assert {cell.tone for row in grid.rows for cell in row} == {""}
    assert grid.notes[0] == "One seed in every row: no interval, no best row and no differences. They need 3 seeds."


def test_rows_of_two_seeds_show_both_values(run: Callable[..., Path]) -> None:
    directory = run("a", 0.7, seeds=[0, 1])
    (scores,) = compare([directory.parent]).sections
    one, other = finals(directory)
    assert metrics_grid(scores).rows[0][2].text == f"{(one + other) / 2:.3f} ({one:.3f}, {other:.3f})"


def test_pairs_of_three_to_five_seeds_have_an_interval_and_no_columns_of_p(run: Callable[..., Path]) -> None:
    run("a", 0.7, seeds=range(5))
    (scores,) = compare([run("b", 0.6, algo="er", seeds=range(5)).parent], ["accuracy"]).sections
    grid = pairs_grid(scores)
    assert grid is not None
    assert grid.headings == ["pair", "metric", "common seeds", "mean difference (95%)"]


def test_what_probes_decide_is_compared_only_where_they_are_alike(run: Callable[..., Path]) -> None:
    wanted = ["accuracy", "min_accuracy", "worst_case_accuracy"]
    run("a", 0.7, protocol__eval_every=0)
    runs = run("b", 0.6, algo="er", protocol__eval_every=5).parent
    (scores,) = compare([runs], wanted).sections
    assert scores.metrics == ["accuracy"]
    assert list(scores.omitted) == wanted[1:]
    assert any(note.startswith("Left out: min_accuracy: depends on when") for note in metrics_grid(scores).notes)
    apart = compare([runs], wanted, by=["protocol.eval_every"]).sections
    assert [each.metrics for each in apart] == [wanted, wanted]


def test_updates_for_every_sample_are_said_where_they_differ(run: Callable[..., Path]) -> None:
    run("a", 0.7, algo="er", algo__batch_size=10, algo__updates=1)
    (scores,) = compare([run("b", 0.6, algo="mer", algo__batch_size=1, algo__glances=5).parent]).sections
    assert any(note.endswith("is not the same for all rows: 0.1, 5.") for note in metrics_grid(scores).notes)


@pytest.mark.parametrize(("rows", "told"), [(2, False), (3, True)])  # 1 pair of 6 seeds: .031 at best; 3 pairs: .094
def test_too_few_seeds_for_so_many_pairs_are_told(run: Callable[..., Path], rows: int, told: bool) -> None:
    runs = [run(f"{i}", 0.5 + 0.1 * i, seeds=range(6), algo__replay=i) for i in range(rows)]
    (scores,) = compare([runs[0].parent], ["accuracy"]).sections
    grid = pairs_grid(scores)
    assert grid is not None
    assert [row[4].text for row in grid.rows] == ["0.031"] * len(grid.rows)
    assert any("cannot be below 0.05" in note for note in grid.notes) == told
    assert {row[3].tone for row in grid.rows} == {"" if told else "good"}


def test_the_best_is_the_lowest_error_and_the_least_forgetting(run: Callable[..., Path]) -> None:
    run("a", 2.0, score="mse", seeds=[0, 1, 2])
    (scores,) = compare([run("b", 1.0, algo="er", score="mse", seeds=[0, 1, 2]).parent]).sections
    assert scores.metrics == ["mse", "learning_mse", "forgetting", "bwt", "fwt"]
    assert scores.labels == ["er", "maml"]
    grid = metrics_grid(scores)
    assert [cell.tone for cell in grid.rows[0][2:4]] == ["good", "good"]
    assert [cell.tone for cell in grid.rows[1][2:4]] == ["", ""]
    least = min(scores.statistics["forgetting"].values(), key=lambda line: line.mean)
    places = [place for place, label in enumerate(scores.labels) if scores.statistics["forgetting"][label] == least]
    assert [grid.rows[place][4].tone for place in places] == ["good"]
    assert iqm_grid(scores) is None


def test_rows_that_nothing_separates_from_the_best_are_coloured_like_it(tmp_path: Path) -> None:
    """By hand from differences seed by seed: t of 2 degrees of freedom is 4.3026527."""
    seeds = {"best": [0.80, 0.84, 0.76], "near": [0.79, 0.80, 0.77], "below": [0.77, 0.81, 0.73], "other": [0.9, 0.6, 0.7]}
    for algo, accuracies in seeds.items():
        matrix = np.stack([np.full((2, 1), accuracy) for accuracy in accuracies])
        numbers = [5, 6, 7] if algo == "other" else [0, 1, 2]  # no common seeds: the intervals of its own mean
        write_run(tmp_path / algo, matrix, algo=algo, seeds=numbers)
    (scores,) = compare([tmp_path], ["accuracy"]).sections
    near = np.subtract(seeds["best"], seeds["near"])
    assert abs(near.mean()) < 4.3026527 * near.std(ddof=1) / 3**0.5
    assert np.ptp(np.subtract(seeds["best"], seeds["below"])) == pytest.approx(0)  # always .03: apart, though intervals overlap
    grid = metrics_grid(scores)
    assert {row[0].text: row[2].tone for row in grid.rows} == {"best": "good", "near": "good", "below": "", "other": "good"}
    assert any("nothing separates from it" in note for note in grid.notes)


def test_a_run_that_diverged_is_shown_without_a_mean_over_the_rest(tmp_path: Path, run: Callable[..., Path]) -> None:
    run("a", 0.7, seeds=[0, 1])
    lost = matrices(0.7, [2])
    lost[:, 2:] = np.nan
    write_run(tmp_path / "runs" / "b", lost, seeds=[2], status="diverged")
    (scores,) = compare([run("c", 0.6, algo="er", seeds=[0, 1, 2]).parent]).sections
    assert scores.labels == ["er", "maml"]
    grid = metrics_grid(scores)
    assert [(cell.text, cell.mark) for cell in grid.rows[1][1:3]] == [("3", ""), ("-", "†")]
    assert "† maml: diverged (in runs with seed 2); a mean over the other seeds would mislead." in grid.notes


def test_many_rows_are_compared_with_the_best_alone(run: Callable[..., Path]) -> None:
    runs = [run(f"{i:02d}", 0.5 + 0.01 * i, seeds=[0, 1, 2], algo__replay=i) for i in range(ALL_PAIRS_UP_TO + 1)]
    (scores,) = compare([runs[0].parent], ["accuracy"]).sections
    assert len(scores.pairs) == ALL_PAIRS_UP_TO
    assert {pair.first for pair in scores.pairs} == {f"maml algo.replay={ALL_PAIRS_UP_TO}"}
    grid = pairs_grid(scores)
    assert grid is not None
    assert "compared with every other" in grid.notes[-1]


def test_a_metric_that_no_run_has_is_refused(run: Callable[..., Path]) -> None:
    directory = run("a", 0.7)
    with pytest.raises(
        UserError, match=r"--metric forgeting: no run has it\. Did you mean forgetting\?\nThe runs have: accuracy, "
    ):
        compare([directory.parent], ["accuracy", "forgeting"])


def test_sequences_are_drawn_by_length_and_by_age(tmp_path: Path) -> None:
    build_sequences(tmp_path / "a", replicates=2)
    (scores,) = compare([tmp_path]).sections
    assert scores.section.title == "omniglot, meta_continual"
    configuration = scores.section.configurations["oml"]
    accuracy, forgetting = (curve(configuration, figure) for figure in curve_figures(configuration))
    assert accuracy.x.tolist() == [10, 50, 100, 200]
    np.testing.assert_allclose(accuracy.values[:, -1], configuration.values("accuracy"))
    place = np.array(json.loads((tmp_path / "a" / "summary.json").read_text())["meta_test"]["by_place"]["accuracy"])
    assert forgetting.values.shape == (2, 200)
    np.testing.assert_allclose(forgetting.values[:, 100], place[:, ::-1][:, 95:105].mean(axis=1))  # a twentieth around it


def test_one_task_is_drawn_as_its_learning_curve(tmp_path: Path) -> None:
    build_run(tmp_path / "a", tasks=1, replicates=2)
    (scores,) = compare([tmp_path]).sections
    configuration = scores.section.configurations["maml"]
    (figure,) = curve_figures(configuration)
    drawn = curve(configuration, figure)
    assert drawn.x.tolist() == [0, 8, 16, 24, 32, 40]
    np.testing.assert_allclose(drawn.values[:, -1], configuration.values("accuracy"))


def test_curves_end_at_the_numbers_of_the_table(run: Callable[..., Path]) -> None:
    run("a", 0.7, seeds=[1, 0])
    (scores,) = compare([run("b", 0.7, seeds=[5]).parent]).sections
    configuration = scores.section.configurations["maml"]
    accuracy, forgetting = (curve(configuration, figure) for figure in curve_figures(configuration))
    assert accuracy.x.tolist() == [1, 2, 3]
    assert forgetting.x.tolist() == [2, 3]
    np.testing.assert_allclose(accuracy.values[:, -1], configuration.values("accuracy"))
    np.testing.assert_allclose(forgetting.values[:, -1], configuration.values("forgetting"))
    matrix = np.load(configuration.where[0][0].directory / "accuracy_matrix.npy")[1]  # seed 0 is the second of its run
    assert accuracy.values[0, 1] == pytest.approx(matrix[2, :2].mean())
    assert forgetting.values[0, 0] == pytest.approx(matrix[1, 0] - matrix[2, 0])


def test_forgetting_is_not_compared_where_only_some_know_what_was_there_before(run: Callable[..., Path]) -> None:
    run("a", 0.7, protocol__eval_future="none")
    (scores,) = compare([run("b", 0.6, algo="er", protocol__eval_future="all").parent]).sections
    assert list(scores.omitted) == ["forgetting"]


def compared_with(name: str, folder: Path) -> list[tuple[str, str]]:
    (scores,) = compare([folder], ["accuracy"], against=name).sections
    return [(pair.first, pair.second) for pair in scores.pairs]


def test_against_a_method_its_rows_alone_are_compared_with_every_other(tmp_path: Path, run: Callable[..., Path]) -> None:
    for name, level, settings in (
        ("a", 0.6, {"algo": "er"}),
        ("b", 0.5, {"algo": "sgd"}),
        ("c", 0.4, {"algo": "mine", "algo.pull": 0.1}),
        ("d", 0.7, {"algo": "mine", "algo.pull": 0.5}),
    ):
        run(name, level, seeds=[0, 1, 2], **settings)

    weak, strong = "mine algo.pull=0.1", "mine algo.pull=0.5"
    assert compared_with(weak, tmp_path) == [(weak, strong), (weak, "er"), (weak, "sgd")]
    assert compared_with("mine", tmp_path) == [(strong, weak), (strong, "er"), (strong, "sgd"), (weak, "er"), (weak, "sgd")]
    with pytest.raises(UserError, match=r"--against mien: no row and no algorithm .* mine\?"):
        compare([tmp_path], against="mien")


def test_the_correction_counts_the_pairs_of_the_named_method_alone(tmp_path: Path, run: Callable[..., Path]) -> None:
    for name, level in (("mine", 0.8), ("er", 0.6), ("sgd", 0.2)):
        run(name, level, algo=name, seeds=SEEDS)

    (scores,) = compare([tmp_path], ["accuracy"], against="mine").sections

    assert [pair.p for pair in scores.pairs] == [2 / 2**7] * 2
    assert [pair.corrected for pair in scores.pairs] == [2 * 2 / 2**7] * 2


def test_a_seed_that_completed_apart_is_taken_from_there_and_not_from_the_run_that_diverged(
    tmp_path: Path, run: Callable[..., Path]
) -> None:
    apart = finals(run("zzzz", 0.7, seeds=[0, 1, 2]))
    whole = run("aaaa", 0.7, seeds=[0, 1, 2, 3], status="diverged")
    np.save(whole / "accuracy_matrix.npy", np.full((4, 4, 3), np.nan))
    summary = json.loads((whole / "summary.json").read_text())
    (whole / "summary.json").write_text(json.dumps({**summary, "metrics": {}}))

    (scores,) = compare([tmp_path], ["accuracy"]).sections

    assert scores.values["accuracy"]["maml"].tolist() == pytest.approx([*apart, np.nan], nan_ok=True)


def test_rows_with_equal_names_stay_apart_by_their_run_ids(tmp_path: Path, run: Callable[..., Path]) -> None:
    run("aaaa", 0.7, algo__note="x" * 400 + "1")
    run("bbbb", 0.5, algo__note="x" * 400 + "2")
    run("cccc", 0.4, algo__pull=None)
    run("dddd", 0.3)

    (scores,) = compare([tmp_path], ["accuracy"]).sections

    assert len(scores.labels) == len(set(scores.labels)) == 4

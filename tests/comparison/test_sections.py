"""What counts as one configuration, what is compared with what, and how rows are called."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metacl_run.comparison.compare import compare
from metacl_run.comparison.sections import Section, differing
from metacl_run.core.errors import UserError


def sections(runs: Path, *by: str) -> list[Section]:
    return [scores.section for scores in compare([runs.parent], by=by).sections]


def test_runs_that_differ_in_seeds_and_in_what_has_no_effect_are_one(run: Callable[..., Path]) -> None:
    run("a", 0.7, seeds=[0, 1])
    runs = run("b", 0.7, seeds=[2], data__root="/elsewhere", output_dir="x", logger={"_target_": "wandb"})
    (section,) = sections(runs)
    (configuration,) = section.configurations.values()
    assert list(section.configurations) == ["maml"]
    assert configuration.seeds == (0, 1, 2)


def test_a_seed_that_comes_twice_counts_once_and_is_told(run: Callable[..., Path]) -> None:
    first = run("a", 0.7, seeds=[0, 1])
    same = run("b", 0.7, seeds=[1, 2])
    other = run("c", 0.9, seeds=[2])
    comparison = compare([first.parent])
    (section,) = [scores.section for scores in comparison.sections]
    (configuration,) = section.configurations.values()
    assert configuration.seeds == (0, 1, 2)
    assert configuration.values("accuracy")[2] == pytest.approx(np.load(same / "accuracy_matrix.npy")[1, -1].mean())
    assert comparison.notes == [
        f"{same}: left out for seed 1, which {first} has too, with the same numbers",
        f"{other}: left out for seed 2, which {same} has too, with other numbers",
    ]


def test_rows_are_named_by_the_algorithm_and_the_settings_that_differ(run: Callable[..., Path]) -> None:
    run("a", 0.7)
    run("b", 0.7, algo__replay=200, algo__inner_lr=0.1)
    run("c", 0.7, algo="er", algo__={"_target_": "m.Er", "memory": 5})
    runs = run(
        "d", 0.7, algo="er", algo__={"_target_": "m.Er", "memory": 5}, model="mlp", model__={"_target_": "m.Mlp", "width": 8}
    )
    (section,) = sections(runs)
    assert list(section.configurations) == [
        "er model=conv4",
        "er model=mlp",
        "maml algo.inner_lr=0.1 algo.replay=200",
        "maml algo.inner_lr=0.4 algo.replay=0",
    ]
    assert section.others["maml algo.inner_lr=0.4 algo.replay=0"] == {"model": "conv4"}
    assert section.others["er model=mlp"] == {}


def test_numbers_of_a_search_are_rounded_in_names_where_these_still_differ(run: Callable[..., Path]) -> None:
    run("a", 0.7, algo__inner_lr=0.13385298778232693)
    runs = run("b", 0.7, algo__inner_lr=0.2)
    assert list(sections(runs)[0].configurations) == ["maml algo.inner_lr=0.1339", "maml algo.inner_lr=0.2"]
    run("c", 0.7, algo__inner_lr=0.1339)
    names = ["maml algo.inner_lr=0.13385298778232693", "maml algo.inner_lr=0.1339", "maml algo.inner_lr=0.2"]
    assert list(sections(runs)[0].configurations) == names


def test_a_shorter_run_does_not_go_for_a_full_one(run: Callable[..., Path]) -> None:
    run("a", 0.7)
    runs = run("b", 0.7, algo="er", protocol__updates_per_task=60, protocol__log_every=5)
    (section,) = sections(runs)
    assert list(section.configurations) == ["er protocol.updates_per_task=60", "maml protocol.updates_per_task=120"]
    assert section.others["er protocol.updates_per_task=60"] == {}


def test_a_setting_that_another_row_switches_on_has_its_own_value(run: Callable[..., Path]) -> None:
    path = run("a", 0.7, algo__lr_schedule="constant") / "summary.json"
    summary = json.loads(path.read_text())
    path.write_text(json.dumps({**summary, "without_effect": [*summary["without_effect"], "algo.lr_schedule"]}))
    (section,) = sections(run("b", 0.8, algo__lr_schedule="cosine"))
    assert list(section.configurations) == ["maml algo.lr_schedule=constant", "maml algo.lr_schedule=cosine"]


def test_runs_that_record_their_training_more_often_are_of_one_row(run: Callable[..., Path]) -> None:
    run("a", 0.7, algo__replay=1, seeds=[0])
    (section,) = sections(run("b", 0.8, algo__replay=1, protocol__log_every=5, protocol__keep_states="tasks", seeds=[1]))
    (row,) = section.configurations.values()
    assert row.seeds == (0, 1)
    assert row.values("accuracy") == pytest.approx([0.7, 0.8], abs=0.02)
    assert not any("log_every" in key or "keep_states" in key for key in row.settings)


@pytest.mark.parametrize(
    ("changed", "titles"),
    [
        ({"data__shots": 5}, ["data.shots=1", "data.shots=5"]),
        ({"data__shots": 5, "data__shift": "rotate"}, ["data.shift=none, data.shots=1", "data.shift=rotate, data.shots=5"]),
        ({"protocol__eval_split": "validation"}, ["on validation data", "protocol.eval_split=test"]),
        ({"protocol__lr_selection": "test"}, ["learning rate tuned on test", "protocol.lr_selection=null"]),
        ({"score": "mse"}, ["accuracy", "mse"]),
    ],
)
def test_what_cannot_be_compared_stands_apart(run: Callable[..., Path], changed: dict[str, object], titles: list[str]) -> None:
    run("a", 0.7)
    found = sections(run("b", 0.7, **changed))
    assert sorted(section.title for section in found) == [f"split_glyphs, continual_meta, {title}" for title in titles]
    assert [list(section.configurations) for section in found] == [["maml"], ["maml"]]


def test_debug_runs_stand_apart_and_are_called_so(run: Callable[..., Path]) -> None:
    run("a", 0.7, debug=False)
    path = run("b", 0.7, debug=True) / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"debug": True}))
    run("c", 0.7, seeds=[1])  # of a version without the setting
    seeds = {section.title: [row.seeds for row in section.configurations.values()] for section in sections(path.parent)}
    assert seeds == {
        "split_glyphs, continual_meta": [(0, 1)],
        "split_glyphs, continual_meta, debug runs, no results": [(0,)],
    }


def test_validation_numbers_are_called_so_where_there_are_no_others(run: Callable[..., Path]) -> None:
    (section,) = sections(run("a", 0.7, protocol__eval_split="validation"))
    assert section.title.endswith("on validation data")


def test_tables_apart_by_a_setting_of_choice(run: Callable[..., Path]) -> None:
    run("a", 0.7)
    runs = run("b", 0.7, algo__replay=200)
    titles = [section.title.removeprefix("split_glyphs, continual_meta, ") for section in sections(runs, "algo.replay")]
    assert titles == ["algo.replay=0", "algo.replay=200"]
    with pytest.raises(UserError, match=r"--by algo\.repay: no run has such a setting\. Did you mean algo\.replay\?"):
        sections(runs, "algo.repay")


def test_settings_are_compared_between_rows_of_the_same_choice_and_true_is_not_one() -> None:
    rows = [
        {"model": "conv4", "model.channels": 32, "a": True},
        {"model": "conv4", "model.channels": 64, "a": 1},
        {"model": "mlp", "model.width": 8, "a": 1},
    ]
    assert differing(rows) == [["a", "model", "model.channels"], ["a", "model", "model.channels"], ["a", "model"]]
    assert differing(rows[:1]) == [[]]


def test_a_trial_of_a_table_stands_apart_and_is_called_so(run: Callable[..., Path]) -> None:
    run("split_glyphs/maml/full", 0.7, seeds=[0])
    runs = run("split_glyphs/maml/trial", 0.7, seeds=[1])
    folder = runs.parents[2] / "tables" / "some" / "smoke"
    folder.mkdir(parents=True)
    (folder / "table.csv").write_text("row,column,run\nMAML,one,split_glyphs/maml/trial\nMAML,two,\n")
    for asked in (runs.parents[2], runs.parent):  # wherever one asks
        found = [scores.section for scores in compare([asked]).sections]
        assert {section.title for section in found} == {
            "split_glyphs, continual_meta",
            "split_glyphs, continual_meta, smoke size of a paper's table",
        }
    (folder / "table.csv").write_bytes(b"\xff\x00")
    assert len(compare([runs.parent]).sections) == 1


def test_runs_of_two_versions_are_never_seeds_of_one_thing(run: Callable[..., Path]) -> None:
    for seed, version in enumerate(("0.1.0", "0.2.0")):
        path = run(version, 0.7, seeds=[seed]) / "summary.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "environment": {"metacl_run": version}}))
    found = compare([path.parent.parent]).sections
    assert [(each.section.title.split(", ")[-1], len(each.labels)) for each in found] == [
        ("metacl_run=0.1.0", 1),
        ("metacl_run=0.2.0", 1),
    ]

"""An evaluation or a start that could show what another run has learned: data of the same origin, divided otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from metacl_run.config.evaluation import _in_folder_of, _refuse_data_learned_from
from metacl_run.config.load import Experiment
from metacl_run.config.starting_run import StartingRun
from metacl_run.core.errors import ConfigError, SettingError

TEXTS = "data.encoder=hashed"
PARTS = ("train", "test")
DOMAINS = ("algo=maml", "data=text_domains", TEXTS)


@pytest.mark.parametrize(
    ("learned", "evaluated"),
    [
        (["algo=maml", "data=banking77", TEXTS], ["algo=maml", "data=split_banking77", TEXTS]),
        ([*DOMAINS, "data.domains=[banking77,intents]"], ["algo=maml", "data=split_banking77", TEXTS]),
        ([*DOMAINS, "data.domains=[intents]"], ["algo=maml", "data=intents", TEXTS]),
        (["algo=maml", "data=cifar_fs"], ["algo=maml", "data=fc100"]),
        (["algo=maml", "data=domains", "data.image_size=28"], ["algo=maml", "data=glyphs"]),
    ],
)
def test_data_that_share_an_origin_are_not_evaluated(
    learned: list[str], evaluated: list[str], experiment: Callable[..., Experiment], real_data: Path
) -> None:
    run, evaluation = (_composed(experiment, words, real_data) for words in (learned, evaluated))
    with pytest.raises(ConfigError, match="from which the run has learned in other tasks and splits"):
        _refuse_data_learned_from(run, evaluation)


@pytest.mark.parametrize(
    ("learned", "evaluated"),
    [
        (["algo=er", "data=permuted_mnist"], ["algo=er", "data=rotated_mnist"]),  # both keep MNIST's test images for test
        ([*DOMAINS, "data.domains=[clinc150]"], ["algo=maml", "data=split_banking77", TEXTS]),
    ],
)
def test_others_are(learned: list[str], evaluated: list[str], experiment: Callable[..., Experiment], real_data: Path) -> None:
    run, evaluation = (_composed(experiment, words, real_data) for words in (learned, evaluated))
    _refuse_data_learned_from(run, evaluation)


def test_parts_that_are_divided_otherwise_are_not_evaluated(experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    for part in PARTS:
        for name in ("a", "b"):
            (tmp_path / part / name).mkdir(parents=True)
            (tmp_path / part / name / "image.png").touch()  # listed, not read
    folders = ["algo=er", "data=split_train_test_images", f"data.root={tmp_path}", "data.num_tasks=2"]
    swapped = ["data.train_folder=test", "data.test_folder=train"]
    table = tmp_path / "texts.csv"
    table.write_text(
        "text,label,part\n" + "".join(f"{i},{label},{part}\n" for i in range(9) for label in "ab" for part in PARTS)
    )
    texts = ["algo=er", "data=split_text_file", f"data.file={table}", TEXTS, "data.num_tasks=2"]
    for shared, own, other in (
        (folders, [], swapped),
        (texts, [], ["data.test_part=0.5"]),
        (texts, ["data.split=part"], []),
        (texts, [], ["data.label=part"]),
        (["algo=er", "data=rotated_digits", "data.num_tasks=2"], [], ["data.train_hands=40"]),
    ):
        run, same, evaluation = (experiment(*shared, *words, tiny=["algo.batch_size=1"]) for words in (own, own, other))
        _refuse_data_learned_from(run, same)
        with pytest.raises(ConfigError, match="from which the run has learned in other tasks and splits"):
            _refuse_data_learned_from(run, evaluation)


@pytest.mark.parametrize("changed", ["data.class_order=[1,0,2,3,4,5,6,7,8,9]", "data.scenario=task", "data.num_tasks=2"])
def test_outputs_keep_their_classes(changed: str, experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    for name in "abcdefghij":
        for part in PARTS:
            (tmp_path / part / name).mkdir(parents=True)
            (tmp_path / part / name / "image.png").touch()
    words = ["algo=er", "data=split_train_test_images", f"data.root={tmp_path}", "data.shuffled=false", "data.num_tasks=5"]
    run, evaluation = (experiment(*words, *more, tiny=["algo.batch_size=1"]) for more in ([], [changed]))
    with pytest.raises(ConfigError, match=f"these settings are others: {changed.partition('=')[0]}$"):
        _refuse_data_learned_from(run, evaluation)


def test_other_data_are_looked_for_where_the_runs_are(
    experiment: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("METACL_DATA", raising=False)
    run = experiment("algo=er", "data=rotated_digits", tiny=[])
    split = experiment("algo=er", "data=permuted_mnist", "data.root=/somewhere", tiny=[])
    usual = {"_target_": "any.Source", "root": "./data"}
    assert _in_folder_of(split, usual)["root"] == "/somewhere"
    assert _in_folder_of(split, {**usual, "root": "/own"})["root"] == "/own"
    assert _in_folder_of(run, usual) == usual  # it reads no files


def test_rates_that_were_learned_by_step_are_not_set_at_evaluation(experiment: Callable[..., Experiment]) -> None:
    maml_pp = experiment("algo=maml_pp").algo
    other = experiment("algo=maml_pp", "algo.inner_lr=5").algo
    maml_pp.check_evaluation(maml_pp)
    with pytest.raises(SettingError, match=r"inner_lr=5\.0: must be .* as in the run: with step_rates=true it learned a rate"):
        other.check_evaluation(maml_pp)
    for name in ("maml", "meta_sgd"):
        experiment(f"algo={name}").algo.check_evaluation(experiment(f"algo={name}").algo)
    experiment("algo=maml", "algo.inner_lr=5").algo.check_evaluation(experiment("algo=maml").algo)


@pytest.mark.parametrize(
    ("algo", "own", "other", "origins", "words"),
    [
        ("oml", ["eval_split=validation"], ["eval_split=validation"], "glyphs", ""),
        (
            "oml",
            ["eval_split=validation", "schedule=[3,12]"],
            ["eval_split=validation"],
            "glyphs",
            "divide the classes otherwise",
        ),
        ("oml", ["schedule=[3,12]"], [], "glyphs", ""),
        ("oml", ["keep=best"], [], "glyphs", "divide the classes otherwise"),
        ("oml", ["keep=best"], [], "omniglot", ""),
        ("maml", ["eval_episodes=7"], [], "glyphs", ""),
        ("maml", ["keep=best", "eval_every=1"], [], "glyphs", "divide the classes otherwise"),
        ("sgd", ["eval_split=validation"], [], "glyphs", "divide the classes otherwise"),
        ("sgd", ["eval_every=0"], [], "glyphs", ""),
        ("sgd_osaka", [], [], "glyphs", "all that its stream shows"),
    ],
)
def test_a_start_from_classes_that_may_be_tested_is_said(
    experiment: Callable[..., Experiment], algo: str, own: list[str], other: list[str], origins: str, words: str
) -> None:
    shared = {
        "oml": ["protocol.schedule=[3,6]", "protocol.eval_every=1", "data=split_glyphs"],
        "maml": ["data.validation_classes=0.2"],
    }.get(algo, [])
    protocols = [
        experiment(f"algo={algo}", *shared, *(f"protocol.{word}" for word in of_run), tiny=[]).protocol
        for of_run in (own, other)
    ]
    data = {"_target_": "some.Source"}
    start = StartingRun(
        directory=Path("run"),
        run_id="0",
        algo=algo,
        data="glyphs",
        protocol=protocols[1],
        origins=frozenset({"glyphs", "mnist"}),
        config={"data": data},
        learned={},
    )
    warning = start.warning(data, protocols[0], frozenset({origins}))
    assert (warning is not None) == bool(words)
    if words:
        assert "learned from glyphs too" in str(warning)
        assert words in str(warning)
    assert start.warning({**data, "seed": 1}, protocols[0], frozenset({origins})) is None or origins == "glyphs"


def _composed(experiment: Callable[..., Experiment], words: Sequence[str], root: Path) -> Experiment:
    has_root = not any(word in ("data=intents", "data=glyphs") for word in words)
    return experiment(*words, *([f"data.root={root}"] if has_root else []), tiny=[])

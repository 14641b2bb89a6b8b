"""Runs with protocol.eval_split=validation: what they touch, that the rest is as ever, and that they say so."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch.utils._pytree import tree_leaves, tree_map

from metacl_run.config.load import Experiment
from metacl_run.config.options import data_for
from metacl_run.core.errors import ConfigError
from metacl_run.data.streams.class_concepts import ClassConceptPool
from metacl_run.data.streams.episode_pool import ClassEpisodePool
from metacl_run.data.streams.function_concepts import FunctionConceptPool
from metacl_run.data.streams.function_episodes import FunctionEpisodePool
from metacl_run.data.streams.sample_pool import TableSamplePool
from metacl_run.data.streams.validation import ValidationConceptPool, ValidationSamplePool
from metacl_run.experiment import run
from metacl_run.reporting import report, terminal
from metacl_run.storage.stored_run import StoredRun
from tests.support.composing import experiment_of
from tests.support.extras import marks_of
from tests.support.runs import stop_after
from tests.support.settings import FUNCTIONS, OF_STREAM_LEARNER, SMALL_SEQUENCES, SMALL_STREAM, STREAM_LEARNERS, TINY
from tests.support.settings import SEQUENCE_LEARNERS as OWN_OF
from tests.support.text_files import TEXTS, write_texts

ON_VALIDATION = "protocol.eval_split=validation"


@pytest.fixture
def nothing_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures and report are tested elsewhere and would take most of the time here."""
    monkeypatch.setattr("metacl_run.reporting.figures.draw", lambda _: [])
    monkeypatch.setattr("metacl_run.reporting.report.write", lambda _: None)


@pytest.fixture
def build(experiment: Callable[..., Experiment]) -> Callable[..., Experiment]:
    """build("er", ...) -> a tiny experiment of the algorithm's own protocol, judged on validation unless said otherwise."""

    def made(algo: str, *overrides: str) -> Experiment:
        tiny = TINY
        if algo in STREAM_LEARNERS:
            tiny = SMALL_STREAM + OF_STREAM_LEARNER.get(algo, [])
        elif algo in OWN_OF:
            tiny = SMALL_SEQUENCES + OWN_OF[algo]
        else:
            tiny = [*TINY, "data.validation_classes=5"]
        return experiment(f"algo={algo}", ON_VALIDATION, *overrides, tiny=tiny)

    return made


def final(built: Experiment) -> tuple[Any, np.ndarray, dict[str, Any]]:
    """State, matrix and summary, without times."""
    content = torch.load(built.directory / "checkpoint.pt", weights_only=True)["content"]
    summary = json.loads((built.directory / "summary.json").read_text())
    assert summary["status"] == "completed"
    kept = {key: summary[key] for key in ("metrics", "eval_split", "meta_test") if key in summary}
    return content["learner"], np.load(built.directory / "accuracy_matrix.npy"), kept


# ------------------------------------------------------------------------------------------------ what is never touched


@pytest.mark.usefixtures("nothing_drawn")
@pytest.mark.parametrize("algo", STREAM_LEARNERS)
def test_online_learns_from_nothing_that_is_held_out_and_never_sees_a_test_sample(
    algo: str, build: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    learned: list[set[int]] = [set(), set()]
    judged_on: list[set[int]] = [set(), set()]
    now = learned
    gather, test = TableSamplePool.gather, ValidationSamplePool.test

    def watched(self: TableSamplePool, replicate: int, index: np.ndarray) -> Any:
        now[replicate].update(self.origins(replicate)[index.reshape(-1)].tolist())
        return gather(self, replicate, index)

    def judging(self: ValidationSamplePool, task: int, limit: int | None) -> Any:
        nonlocal now
        now = judged_on
        try:
            return test(self, task, limit)
        finally:
            now = learned

    monkeypatch.setattr(TableSamplePool, "gather", watched)
    monkeypatch.setattr(ValidationSamplePool, "test", judging)
    monkeypatch.setattr(TableSamplePool, "test", lambda *_: pytest.fail("test data"))
    built = build(algo, "seeds=[0,1]", "insight=full", "protocol.eval_every=2", "protocol.probe_samples=3")
    assert run(built) == 0
    for replicate in range(2):
        assert 30 <= len(learned[replicate]) <= 80 - len(judged_on[replicate])  # of 80 images, each task shows 40
        assert len(judged_on[replicate]) >= 8
        assert not learned[replicate] & judged_on[replicate]


@pytest.mark.usefixtures("nothing_drawn")
@pytest.mark.parametrize("algo", ["oml", "anml", "gemcl", "pretrain", "functions"])
@pytest.mark.parametrize("selection", ["train", "test"])
def test_meta_continual_never_sees_a_meta_test_concept_and_keeps_the_held_out_ones_for_the_end(
    algo: str,
    selection: str,
    build: Callable[..., Experiment],
    experiment: Callable[..., Experiment],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learned: set[int] = set()
    judged_on: set[int] = set()
    now = learned
    outer = ValidationConceptPool.gather

    def phase(self: ValidationConceptPool, half: str, *index: Any) -> Any:
        nonlocal now
        now = learned if half == "meta_train" else judged_on
        return outer(self, half, *index)

    for kind in (ClassConceptPool, FunctionConceptPool):

        def inner(self: Any, half: str, concepts: np.ndarray, *index: Any, original: Any = kind.gather) -> Any:
            assert half == "meta_train", "test data"
            now.update(np.asarray(concepts).reshape(-1).tolist())
            return original(self, half, concepts, *index)

        monkeypatch.setattr(kind, "gather", inner)
    monkeypatch.setattr(ValidationConceptPool, "gather", phase)
    changes = "protocol.joint_epochs=1", f"protocol.lr_selection={selection}"
    if algo == "functions":
        own = "algo.remember=0", "algo.redraw=false", "protocol.rates=[0.05,0.01]", ON_VALIDATION, *changes
        built, left, held = experiment("algo=oml", *own, tiny=FUNCTIONS), 8, 4  # of 12, for a schedule of 4
    else:
        built, left, held = build(algo, *changes, "protocol.orders=12"), 13, 5  # of 18, for a schedule of 5
    assert run(built) == 0
    assert learned <= set(range(left))
    assert len(learned) >= 4
    assert judged_on == set(range(left, left + held))


@pytest.mark.usefixtures("nothing_drawn")
@pytest.mark.parametrize("algo", ["maml", "protonet", "sinusoid"])
def test_continual_meta_never_samples_a_test_episode(
    algo: str, build: Callable[..., Experiment], experiment: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    splits: list[str] = []
    for kind in (ClassEpisodePool, FunctionEpisodePool):

        def sample(self: Any, tasks: Any, split: str, *, original: Any = kind.sample, **settings: Any) -> Any:
            splits.append(split)
            return original(self, tasks, split, **settings)

        monkeypatch.setattr(kind, "sample", sample)
    if algo == "sinusoid":
        tiny = [
            "data.num_tasks=2",
            "model.hidden=[8]",
            *(each for each in TINY if each.startswith(("algo", "protocol", "gpu"))),
        ]
        built = experiment("algo=maml", "data=sinusoid", ON_VALIDATION, "insight=full", tiny=tiny)
    else:
        built = build(algo, "insight=full")
    assert run(built) == 0
    assert set(splits) == {"train", "validation"}


# -------------------------------------------------------------------------------------------- the rest is as it ever was


@pytest.mark.usefixtures("nothing_drawn")
@pytest.mark.parametrize("algo", ["er", "ewc", "oml"])
def test_a_replicate_is_its_single_run(algo: str, build: Callable[..., Experiment]) -> None:
    both = build(algo, "seeds=[3,5]", "gpu.precision=float64")
    assert run(both) == 0
    state, matrix, _ = final(both)
    assert not np.array_equal(matrix[0], matrix[1])
    for replicate, seed in enumerate((3, 5)):
        alone = build(algo, f"seeds=[{seed}]", "gpu.precision=float64")
        assert run(alone) == 0
        own, own_matrix, _ = final(alone)
        mine = tree_map(lambda leaf: leaf[replicate], state)  # noqa: B023
        for expected, found in zip(tree_leaves(own), tree_leaves(mine), strict=True):
            torch.testing.assert_close(found, expected[0], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(matrix[replicate], own_matrix[0], atol=1e-12)


@pytest.mark.usefixtures("nothing_drawn")
@pytest.mark.parametrize(("algo", "units"), [("ewc", (2, 3, 7)), ("er", (1, 4)), ("oml", (2, 5, 7))])
def test_stopped_anywhere_it_ends_bit_for_bit_as_the_unbroken_run(
    algo: str, units: tuple[int, ...], build: Callable[..., Experiment]
) -> None:
    base = build(algo).output_dir
    unbroken, broken = (build(algo, "seeds=[0,1]", f"output_dir={base / name}") for name in ("unbroken", "broken"))
    assert run(unbroken) == 0
    for count in units:
        stop_after(broken, count)
    assert run(broken) == 0
    first, again = final(unbroken), final(broken)
    assert all(torch.equal(*leaves) for leaves in zip(tree_leaves(first[0]), tree_leaves(again[0]), strict=True))
    np.testing.assert_array_equal(first[1], again[1])
    assert first[2] == again[2]


@pytest.mark.parametrize("algo", ["maml", "er", "oml"])
def test_the_split_names_the_run(algo: str, build: Callable[..., Experiment]) -> None:
    on_validation, on_test = build(algo), build(algo, "protocol.eval_split=test")
    assert on_validation.run_id != on_test.run_id
    assert on_test.resolved["protocol"]["eval_split"] == "test"
    assert build(algo).run_id == on_validation.run_id


def test_it_is_test_unless_asked_for(experiment: Callable[..., Experiment]) -> None:
    for algo in ("maml", "er", "oml"):
        assert experiment(f"algo={algo}", tiny=[]).protocol.eval_split == "test"


# ------------------------------------------------------------------------------------------------- every shipped option


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty classes of six images; beside the folder another with one of each, and a file of forty classes of six texts."""
    root = tmp_path_factory.mktemp("own") / "images"
    for number in range(280):
        place = (root if number < 240 else root.parent / "test") / f"class{number % 40:02}"
        place.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(place / f"{number}.png")
    write_texts(root.parent / "texts.csv", classes=40, texts=6)
    return root


def composed(name: str, folder: Path, *overrides: str) -> Experiment:
    own = [f"data.root={folder}"] if "image_folder" in name else []
    own += [f"data.root={folder.parent}", f"data.train_folder={folder.name}"] if "train_test_images" in name else []
    own += [f"data.file={folder.parent / 'texts.csv'}"] if "text_file" in name else []
    return experiment_of([f"data={name}", ON_VALIDATION, *own, *overrides])


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks_of(name)) for name in data_for("online")])
def test_every_stream_of_samples_is_checked_with_what_is_left_of_it(name: str, folder: Path) -> None:
    own = ["data.test_examples=1"] if "image_folder" in name else []
    whole = composed(name, folder, "algo=er", *own).data.count_samples()
    left = whole - whole // 5
    composed(name, folder, "algo=er", f"algo.batch_size={left}", *own)
    said = rf"^algo\.batch_size={left + 1}: .* the {left} training samples of a task, {whole // 5} others being held out"
    with pytest.raises(ConfigError, match=said):
        composed(name, folder, "algo=er", f"algo.batch_size={left + 1}", *own)


@pytest.mark.parametrize("name", data_for("meta_continual"))
def test_every_pool_of_concepts_is_checked_with_what_is_left_of_it(name: str, folder: Path) -> None:
    own = ["protocol.schedule=[2,4]"]
    few = "image_folder" in name or "text_file" in name
    own += ["data.test_examples=1", "algo.class_steps=1", "algo.query_examples=1"] if few else []
    own += ["algo.remember=0", "algo.redraw=false", "algo.step_examples=32"] if name == "incremental_sine" else []
    own += ["data.together=320"] if name == "incremental_sine" else []
    own += ["model=mlp_incremental_sine"] if name == "incremental_sine" else []
    own += ["model=mlp_small"] if name in TEXTS else []
    whole = composed(name, folder, "algo=oml", "algo.classes=2", *own).data.count_concepts("meta_train")
    left = whole - max(whole // 5, 4)
    composed(name, folder, "algo=oml", f"algo.classes={min(left, 320)}", *own)
    if name != "incremental_sine":  # whose inputs can name as many as are left
        with pytest.raises(ConfigError, match=rf"^algo\.classes={left + 1}: must be at most the {left} meta-train concepts"):
            composed(name, folder, "algo=oml", f"algo.classes={left + 1}", *own)


OF_ROBOTS = {"planar_skills", "planar_dynamics", "planar_reach_rl", "metaworld", "metaworld_cw10", "half_cheetah"}
LISTED = {"cifar_fs", "fc100", "omniglot_vinyals", "listed_image_folder", "mini_imagenet", "tiered_imagenet"}
WITHOUT_SHARES = {"sinusoid", *OF_ROBOTS, *LISTED}


@pytest.mark.parametrize("name", sorted(set(data_for("continual_meta")) - WITHOUT_SHARES))
def test_episodes_without_validation_classes_are_one_message(name: str, folder: Path) -> None:
    said = r"^data\.validation_classes=0: leaves no class to evaluate on: .* split is evaluated; 0\.2 takes a fifth of them$"
    own = ["data.shots=1", "data.queries=1"]
    with pytest.raises(ConfigError, match=said):
        composed(name, folder, "algo=maml", *own)
    classes = ["data.test_classes=0.25", "data.validation_classes=0.25", "data.ways=2"]  # a task may have six in all
    composed(name, folder, "algo=maml", *own, *classes, *_few_tasks(name))


def _few_tasks(name: str) -> list[str]:
    return ["data.num_tasks=2", "data.classes_per_task=null"] if name == "split_image_folder" else []


# ---------------------------------------------------------------------------------------------------------- bad settings


@pytest.mark.parametrize(
    ("algo", "change", "message"),
    [
        ("er", "protocol.eval_split=valid", r"^protocol\.eval_split=valid: must be one of test, validation\. Did you mean val"),
        ("oml", "protocol.eval_split=train", r"^protocol\.eval_split=train: must be one of test, validation\."),
        (
            "sgd",
            "data.train_per_task=1",
            r"^protocol\.eval_split=validation: holds out at least .* but a task has 1\. Take more",
        ),
        ("a_gem", "algo.memories_per_task=35", r"^algo: AGem keeps 35 samples of each task, but a task has 32 to keep"),
        ("oml", "protocol.schedule=[2,18]", r"^protocol\.schedule=\[2,18\]: 18 concepts .* the data has 18 for meta-training"),
        (
            "oml",
            "protocol.schedule=[2,10]",
            r"schedule=\[2,10\]: the rate .* there are 8, 10 others being held out for validation\.",
        ),
        ("oml", "algo.classes=14", r"^algo\.classes=14: must be at most the 13 meta-train concepts"),
        ("maml", "data.validation_classes=0", r"^data\.validation_classes=0: leaves no class to evaluate on"),
    ],
)
def test_one_message_before_any_work(algo: str, change: str, message: str, build: Callable[..., Experiment]) -> None:
    with pytest.raises(ConfigError, match=message):
        build(algo, change)


# ------------------------------------------------------------------------------------------------------------ it says so


def printed(directory: Path) -> str:
    out = io.StringIO()
    terminal.show(StoredRun(directory), Console(file=out, width=200, force_terminal=False, color_system=None))
    return out.getvalue()


@pytest.mark.parametrize(
    ("algo", "split"), [("maml", "validation"), ("er", "validation"), ("oml", "validation"), ("er", "test")]
)
def test_wherever_numbers_are_shown_it_is_said_what_of(
    algo: str, split: str, build: Callable[..., Experiment], capsys: pytest.CaptureFixture[str]
) -> None:
    built = build(algo, f"protocol.eval_split={split}", "progress=plain", "figures.style=screen")
    assert run(built) == 0
    assert final(built)[2]["eval_split"] == split
    said = split == "validation"
    progress = capsys.readouterr().out.splitlines()[0]
    page, text = (built.directory / "report.html").read_text(), printed(built.directory)
    assert f"  {algo}, " in progress.splitlines()[0]
    assert ("(validation, not test)" in progress) == said
    assert ("validation, not test\nmetric (validation, not test)" in text) == said
    assert ("All scores are on validation, not test." in text) == said
    assert ("<strong>validation, not test</strong>" in page) == said
    assert ("metric (validation, not test)</th>" in page) == said
    figures = list((built.directory / "figures").glob("*.svg"))
    assert len(figures) > 2
    assert all(("validation, not test" in each.read_text()) == said for each in figures)
    path = built.directory / "summary.json"  # as of an earlier version, whose config tells all the same
    path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "eval_split"}))
    assert printed(built.directory) == text
    assert ("<strong>validation, not test</strong>" in report.write(StoredRun(built.directory)).read_text()) == said


def test_a_rate_tuned_on_validation_is_not_said_to_be_tuned_on_test(build: Callable[..., Experiment]) -> None:
    built = build("oml", "protocol.lr_selection=test", "figures.style=screen")
    assert run(built) == 0
    page, text = (built.directory / "report.html").read_text(), printed(built.directory)
    assert "metric (validation, not test; learning rate tuned on validation)" in text
    assert "The learning rate was tuned on validation: on the same classes" in text
    assert "<strong>learning rate tuned on validation</strong>" in page
    assert "tuned on test" not in page + text
